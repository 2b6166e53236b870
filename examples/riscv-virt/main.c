// Counts on the serial line, twice a second, and sends back what comes in.
#include "clock.h"
#include "uart.h"

int main(void) {
  uint64_t next = clock_now();
  for (uint32_t tick = 1;; tick++) {
    next += CLOCK_HZ / 2;
    while (clock_now() < next) {
      int c = uart_get();
      if (c >= 0) {
        uart_put(c);
      }
    }
    uart_text("tick ");
    uart_decimal(tick);
    uart_text("\r\n");
  }
}

// From start.S: the hart met something that it cannot go on from. Numbers of causes: privileged architecture, "mcause".
void trapped(uint32_t cause, uint32_t at) {
  uart_text("panic: trap ");
  uart_decimal(cause);
  uart_text(" at 0x");
  uart_hex(at);
  uart_text("\r\n");
}
