// A 16550 with its registers a byte apart (QEMU, hw/riscv/virt.c, VIRT_UART0). QEMU's needs no baud rate.
#define UART ((volatile unsigned char *)0x10000000)
#define DATA 0
#define LINE_STATUS 5
#define TRANSMITTER_EMPTY 0x20

int main(void) {
  for (const char *text = "built by cmake\r\n"; *text; text++) {
    while (!(UART[LINE_STATUS] & TRANSMITTER_EMPTY)) {
    }
    UART[DATA] = (unsigned char)*text;
  }
  return 0;
}
