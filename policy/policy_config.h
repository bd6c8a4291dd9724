/* policy_config.h - the numbers of slp_config as a table, so that checking a
 * configuration, writing it to a trace and reading it back cannot disagree. */
#ifndef SLUICE_POLICY_CONFIG_H
#define SLUICE_POLICY_CONFIG_H

#include "sluice_policy.h"

typedef struct slp__field {
    const char *name; /* as in the header and in traces              */
    size_t offset;    /* of an int32_t in slp_config                 */
    int32_t min, max; /* inclusive; slp_config_check() knows the rest */
} slp__field;

enum { SLP__FIELDS = 15 };
extern const slp__field slp__fields[SLP__FIELDS];

int32_t slp__field_get(const slp_config *cfg, const slp__field *field);
void slp__field_set(slp_config *cfg, const slp__field *field, int32_t value);

#endif /* SLUICE_POLICY_CONFIG_H */
