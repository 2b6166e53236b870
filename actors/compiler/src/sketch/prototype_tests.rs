//! Sketches, and the prototypes they need.

use super::super::token::tokens;
use super::*;

/// What is inserted, as `line: prototype`.
#[track_caller]
fn check(source: &str, expect: &[&str]) {
    let tokens = tokens(source);
    let code = Code { source, tokens: &tokens };
    let lines: Vec<_> = prototypes(code)
        .iter()
        .map(|insertion| {
            let conditions: String = insertion.conditions.iter().map(|line| format!("{line} | ")).collect();
            format!("{}: {conditions}{}", tokens[insertion.before].line, insertion.prototype)
        })
        .collect();
    assert_eq!(lines, expect, "{source}");
}

#[test]
fn only_what_is_used_before_it_is_defined() {
    check("void a() {}\nvoid loop() { a(); }", &[]);
    check("void loop() { a(); }\nvoid a() {}", &["1: void a();"]);
    check("void loop() { Serial.a(); p->a(); x::a(); }\nvoid a() {}", &[]);
    check("void loop() { ::a(); }\nvoid a() {}", &["1: void a();"]);
    check("void a();\nvoid loop() { a(); }\nvoid a() {}", &[]);
    check("void a(int x = 3);\nvoid loop() { a(); }\nvoid a(int x) {}", &[]);
    check("void a(int);\nvoid loop() { a(); a(1); }\nvoid a() {}\nvoid a(int x) {}", &["2: void a();"]);
    check("// a()\nconst char *s = \"a()\";\nvoid a() {}", &[]);
    check("void f() { f(); }", &[]);
}

#[test]
fn as_late_as_can_be() {
    let source = "struct T { int x; };\nvoid setup() {}\nstruct U { int y; };\nvoid loop() { go(U()); }\nvoid go(U u) {}";
    check(source, &["4: void go(U u);"]);
    check("int x = f();\nint f() { return 1; }", &["1: int f();"]);
    check("void (*p)() = f;\nvoid f() {}", &["1: void (*p)() = f;"].map(|_| "1: void f();"));
    check("#define CALL f(1)\nvoid loop() { CALL; }\nvoid f(int x) {}", &["1: void f(int x);"]);
    check("#define f(x) g(x)\nvoid f(int x) {}", &[]);
    check("struct S { void m() { f(); } };\nvoid f() {}", &["1: void f();"]);
}

#[test]
fn heads_of_all_kinds() {
    #[track_caller]
    fn head(head: &str, expect: &str) {
        check(&format!("int u() {{ return (int)f; }}\n{head} {{}}"), &[&format!("1: {expect}")]);
    }
    head("void f(int a, char *b = nullptr)", "void f(int a, char *b );");
    head("void f(int a = g(1, 2), int b = {3})", "void f(int a , int b );");
    head(
        "void f(std::map<int, int> m = std::map<int, int>(), int z = 1)",
        "void f(std::map<int, int> m , int z );",
    );
    head("static inline const char *f(void)", "static inline const char *f(void);");
    head("unsigned long\nf(\n  int a, // first\n  int b)", "unsigned long f( int a, int b);");
    head("struct S f(struct S *s)", "struct S f(struct S *s);");
    head("std::vector<int> f()", "std::vector<int> f();");
    head("auto f(int x) -> int", "auto f(int x) -> int;");
    head("extern \"C\" void f()", "extern \"C\" void f();");
    head("__attribute__((noinline)) void f()", "__attribute__((noinline)) void f();");
    head("template<typename T> T f(T a)", "template<typename T> T f(T a);");
    head("void f(void (*cb)(int, int))", "void f(void (*cb)(int, int));");
    head("void f(int (&a)[3], char s[])", "void f(int (&a)[3], char s[]);");
    head("void f() noexcept", "void f() noexcept;");
    head("void IRAM_ATTR f()", "void IRAM_ATTR f();");
    head("MACRO(x)\nvoid f()", "void f();");
    head("ns::Type &f(ns::Other o)", "ns::Type &f(ns::Other o);");
    head("void f(const char *s = \"),{\", char c = ')')", "void f(const char *s , char c );");
    head("decltype(1) f()", "decltype(1) f();");
}

#[test]
fn what_is_no_function() {
    #[track_caller]
    fn none(item: &str) {
        check(&format!("int u() {{ return (int)f; }}\n{item}"), &[]);
    }
    none("ISR(f) {}");
    none("void A::f() {}");
    none("A::f() {}");
    none("struct f { int x; };");
    none("class f : public B<int(3)> {};");
    none("struct __attribute__((packed)) f { int x; };");
    none("enum f : uint8_t { X };");
    none("namespace f { void g() {} }");
    none("auto f = [](int x) { return x; };");
    none("int f[] = { 1, 2 };");
    none("int f{3};");
    none("std::function<void()> f{nullptr};");
    none("Servo f(3);");
    none("auto f() { return 1; }");
    none("template<typename T = int> T f() { return 1; }");
    none("bool operator<(f a, f b) { return 1; }");
    none("typedef void (*f)(int);");
    none("using f = int;");
    none("#define f() { }");
}

#[test]
fn conditions_of_the_preprocessor() {
    check("void loop() { a(); }\n#ifdef DEBUG\nvoid a() {}\n#endif", &["1: #ifdef DEBUG | void a();"]);
    check(
        "void loop() { a(); }\n#if X\nvoid a() {}\n#elif Y\nvoid a() {}\n#else\nvoid a() {}\n#endif",
        &["1: #if X | void a();", "1: #if X\n#elif Y | void a();", "1: #if X\n#elif Y\n#else | void a();"],
    );
    check(
        "#if X\nvoid b() { a(); }\n#endif\nvoid loop() { a(); }\nvoid a() {}",
        &["2: void a();", "4: void a();"],
    );
    check("#if X\nvoid b() { a(); }\nvoid a() {}\n#endif", &["2: void a();"]);
    check("#if X\nvoid b() { a(); }\n#else\nvoid a() {}\n#endif", &[]);
    check("void b() { a(); }\n#if X\nvoid c() { a(); }\n#endif\nvoid a() {}", &["1: void a();"]);
    check("void loop() {\n#if X\n a();\n#endif\n}\nvoid a() {}", &["1: void a();"]);
}

#[test]
fn strings_and_comments_do_not_mislead() {
    check("void loop() { p(R\"({ \" )\"); a(); }\nvoid a() {}", &["1: void a();"]);
    check("void loop() { p('{'); /* } */ a(); // }\n}\nvoid a() {}", &["1: void a();"]);
    check("void loop() { p(\"\\\"{\"); a(); }\nvoid a() {}", &["1: void a();"]);
    check("#define OPEN {\nvoid loop() { a(); }\nvoid a() {}", &["2: void a();"]);
}

proptest::proptest! {
    #[test]
    fn no_source_panics(source in "(void |int |f|g|\\(|\\)|\\{|\\}|;|,|=|<|>|::|template|\\[|\\]|:|\n#if X\n|\n#else\n|\n#endif\n|\"|struct |operator|->){0,30}") {
        let tokens = tokens(&source);
        let _insertions = prototypes(Code { source: &source, tokens: &tokens });
    }
}
