// Blinks, and says so: farmhand.toml expects the third.

const unsigned long PERIOD_MS = 200;

void setup() {
  pinMode(LED_BUILTIN, OUTPUT);
  Serial.begin(115200);
}

void loop() {
  static unsigned int count = 0;
  count++;
  say(count);
  digitalWrite(LED_BUILTIN, count % 2 ? HIGH : LOW);
  delay(PERIOD_MS);
}

// A sketch may use a function before it stands: its prototype is made for it.
void say(unsigned int count) {
  Serial.print("blink ");
  Serial.println(count);
}
