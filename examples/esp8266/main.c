// Blinks the LED of most modules and says so, with the chip's registers alone: the boot ROM has set a stack up and calls start().
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

// UART0's FIFO and its state (ESP8266 Technical Reference, "UART registers").
#define UART_FIFO REGISTER(0x60000000)
#define UART_STATUS REGISTER(0x6000001c)
#define UART_TX_COUNT(status) ((status) >> 16 & 0xff)
// GPIO2, of the LED ("GPIO registers").
#define GPIO_SET REGISTER(0x60000304)
#define GPIO_CLEAR REGISTER(0x60000308)
#define GPIO_ENABLE_SET REGISTER(0x60000310)
#define LED (1u << 2)

extern uint32_t __bss_start[], __bss_end[];
static volatile uint32_t count;

static void put(char c) {
  while (UART_TX_COUNT(UART_STATUS) > 126) {
  }
  UART_FIFO = (uint8_t)c;
}

static void say(const char *text) {
  while (*text) {
    put(*text++);
  }
}

// Rough: the loop is a few cycles of 80 MHz.
static void wait(void) {
  for (volatile uint32_t left = 2000000; left; left--) {
  }
}

__attribute__((section(".text.start"), used)) void start(void) {
  for (uint32_t *at = __bss_start; at < __bss_end;) {
    *at++ = 0;
  }
  GPIO_ENABLE_SET = LED;
  for (;;) {
    GPIO_CLEAR = LED;
    wait();
    GPIO_SET = LED;
    wait();
    // No division: that is the boot ROM's (`__umodsi3`), and whoever links against the ROM has its addresses.
    count = count == 9 ? 0 : count + 1;
    say(count ? "blink\r\n" : "ten blinks\r\n");
  }
}
