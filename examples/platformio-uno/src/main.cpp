#include <Arduino.h>
#include <EEPROM.h>
#include <Morse.h>

#include "config.h"

static void show(char mark) {
    Serial.print(mark);
    if (mark == ' ') {
        delay(3 * UNIT_MS);
        return;
    }
    digitalWrite(LED_BUILTIN, HIGH);
    delay(mark == '-' ? 3 * UNIT_MS : UNIT_MS);
    digitalWrite(LED_BUILTIN, LOW);
    delay(UNIT_MS);
}

void setup() {
    pinMode(LED_BUILTIN, OUTPUT);
    Serial.begin(115200);
    EEPROM.update(0, EEPROM.read(0) + 1);
    Serial.println("morse ready");
}

void loop() {
    Serial.print(WORD ": ");
    morse(WORD, show);
    Serial.println();
    delay(20 * UNIT_MS);
}
