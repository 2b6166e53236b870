#pragma once

// As a macro on the command line: platformio.ini has `-D UNIT_MS=50` for one board.
#ifndef UNIT_MS
#define UNIT_MS 5
#endif
