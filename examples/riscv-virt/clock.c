#include "clock.h"

// `mtime`, in the core-local interruptor at 0x2000000 (QEMU, hw/riscv/virt.c, VIRT_CLINT; RISC-V ACLINT, "MTIMER").
#define MTIME_LOW (*(volatile uint32_t *)0x0200bff8)
#define MTIME_HIGH (*(volatile uint32_t *)0x0200bffc)

uint64_t clock_now(void) {
  // 64 bits in two halves: read again where the low one went over in between.
  for (;;) {
    uint32_t high = MTIME_HIGH;
    uint32_t low = MTIME_LOW;
    if (high == MTIME_HIGH) {
      return (uint64_t)high << 32 | low;
    }
  }
}
