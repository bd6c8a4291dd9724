/* identity.h - a number that tells models apart. */
#ifndef SL_IDENTITY_H
#define SL_IDENTITY_H

#include "model/model.h"

/* Hash of everything the file says and of samples of every tensor: two models with the
 * same number are taken for the same. Reads a few pages of each tensor. */
uint64_t sl__model_identity(const sl_model *model);

#endif
