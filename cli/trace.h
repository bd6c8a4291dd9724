/* trace.h - --spec-trace: one JSON object per iteration and line. */
#ifndef SL_CLI_TRACE_H
#define SL_CLI_TRACE_H

#include <stdio.h>

#include "sluice/generate.h"

/* {"iteration":0,"position":41,"k":3,"drafted":3,"accepted":2,
 *  "drafter":"suffix","match":5,"experts":96,"phase":"set","reason":"...","utility":1.31,"draft_ns":..,"pass_ns":..,"other_ns":..,
 *  "plain_ns":..,"loss_ns":..,"loss_max_ns":..,"expected_tokens":2.4,"expected_ns":..}
 * utility is null until the policy has one, the losses are null without a ledger. trace_read.h
 * reads it back. No allocation; errors stay in the stream. */
void cli_trace_write(FILE *to, const sl_iteration *record);

#endif
