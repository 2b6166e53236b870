#include "uart.h"

#include <stdint.h>
#include <stdio.h>

#if defined(CMSDK_UART)
// Arm's CMSDK UART (Cortex-M System Design Kit, "APB UART", programmer's model).
#define DATA (*(volatile uint32_t *)(CMSDK_UART + 0x0))
#define STATE (*(volatile uint32_t *)(CMSDK_UART + 0x4))
#define CONTROL (*(volatile uint32_t *)(CMSDK_UART + 0x8))
#define DIVIDER (*(volatile uint32_t *)(CMSDK_UART + 0x10))
#define FULL 1u

void uart_start(void) {
  DIVIDER = 25000000 / 115200;
  CONTROL = 1;  // transmits
}

void uart_put(char c) {
  while (STATE & FULL) {
  }
  DATA = (uint8_t)c;
}
#elif defined(STM32_USART)
// ST's USART (RM0090, "USART registers"). QEMU's needs no clock and no rate.
#define STATUS (*(volatile uint32_t *)(STM32_USART + 0x0))
#define DATA (*(volatile uint32_t *)(STM32_USART + 0x4))
#define CONTROL_1 (*(volatile uint32_t *)(STM32_USART + 0xc))
#define TXE (1u << 7)

void uart_start(void) {
  CONTROL_1 = 1u << 13 | 1u << 3;  // UE, TE
}

void uart_put(char c) {
  while (!(STATUS & TXE)) {
  }
  DATA = (uint8_t)c;
}
#else
#error "say which serial line the board has"
#endif

#ifdef __PICOLIBC__
// What picolibc's stdio writes to (picolibc documentation, "Picolibc stdio").
static int put(char c, FILE *file) {
  (void)file;
  uart_put(c);
  return (unsigned char)c;
}

static FILE line = FDEV_SETUP_STREAM(put, NULL, NULL, _FDEV_SETUP_WRITE);
FILE *const stdout = &line;
#else
// What newlib's stdio writes by (newlib documentation, "System Calls").
int _write(int file, const char *bytes, int count) {
  (void)file;
  for (int at = 0; at < count; at++) {
    uart_put(bytes[at]);
  }
  return count;
}
#endif
