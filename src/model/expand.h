/* expand.h - sl_expand_write() for shapes that have no name. */
#ifndef SL_EXPAND_H
#define SL_EXPAND_H

#include "model/synth_shapes.h"
#include "sluice/expand.h"

/* params->like is not read, the shape's architecture neither: the file is a qwen3moe. */
SL_MUST_USE sl_status sl__expand_to_shape(const char *path, const char *small,
                                          const sl__synth_shape *shape,
                                          const sl_expand_params *params, sl_error *err);

#endif
