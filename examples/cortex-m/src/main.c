// Mean and deviation of some samples, with the C library's own mathematics and formatting.
#include <math.h>
#include <stdio.h>

static volatile float samples[] = {1.0f, 2.0f, 3.0f, 4.0f};
#define COUNT (sizeof samples / sizeof *samples)

int main(void) {
  printf("cortex-m: %u samples\r\n", (unsigned)COUNT);
  float sum = 0, squares = 0;
  for (unsigned at = 0; at < COUNT; at++) {
    sum += samples[at];
    squares += samples[at] * samples[at];
  }
  float mean = sum / COUNT;
  printf("mean %d.%03d\r\n", (int)mean, (int)(mean * 1000) % 1000);
  float deviation = sqrtf(squares / COUNT - mean * mean);
  printf("deviation %d.%03d\r\n", (int)deviation, (int)(deviation * 1000) % 1000);
  printf("done\r\n");
  return 0;
}
