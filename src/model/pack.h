/* pack.h - copying a model's matrices into panels. */
#ifndef SL_PACK_H
#define SL_PACK_H

#include "model/model.h"

/* Fill the panels of every matrix that has a place for them, on params->threads threads, and
 * give the file's pages back on the way. SL_E_FORMAT names the tensor and the place of a scale
 * that is not finite; SL_E_NOMEM: no threads. */
sl_status sl__model_pack(sl_model *m, const sl__arch *arch, const sl_model_params *params,
                         sl_error *err);

#endif
