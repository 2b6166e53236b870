void setup() {} void loop() {}
