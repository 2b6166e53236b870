// The machine's clock.
#pragma once

#include <stdint.h>

// It counts at 10 MHz (QEMU, RISCV_ACLINT_DEFAULT_TIMEBASE_FREQ).
#define CLOCK_HZ 10000000u

// Since the machine was started.
uint64_t clock_now(void);
