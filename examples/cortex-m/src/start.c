// From reset to main(), and where the processor goes when something is wrong.
#include <stdint.h>

#include "uart.h"

extern uint32_t __data_start[], __data_end[], __data_source[], __bss_start[], __bss_end[], __stack_top[];
int main(void);

// Coprocessors 10 and 11 are the floating point unit (ARMv7-M, "Coprocessor Access Control Register").
#define CPACR (*(volatile uint32_t *)0xe000ed88)

void reset(void) {
#ifdef __ARM_FP
  CPACR |= 0xfu << 20;
  __asm volatile("dsb\n isb" ::: "memory");
#endif
  for (uint32_t *to = __data_start, *from = __data_source; to < __data_end;) {
    *to++ = *from++;
  }
  for (uint32_t *at = __bss_start; at < __bss_end;) {
    *at++ = 0;
  }
  uart_start();
  main();
  for (;;) {
    __asm volatile("wfi");
  }
}

static void fault(void) {
  for (const char *text = "fault\r\n"; *text;) {
    uart_put(*text++);
  }
  for (;;) {
  }
}

// ARMv7-M, "Exception number definition": the stack, reset, NMI and the four faults.
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    __stack_top, reset, fault, fault, fault, fault, fault,
};
