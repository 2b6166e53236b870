// The machine's serial line.
#pragma once

#include <stdint.h>

// Waits until there is room for it.
void uart_put(char c);

// The next byte that came in; -1 where there is none.
int uart_get(void);

void uart_text(const char *text);
void uart_decimal(uint32_t number);
void uart_hex(uint32_t number);
