//! What an installed core needs to compile with an installed compiler, where it does not as it stands.

/// A core and a compiler that do not agree.
struct Quirk {
    /// `version` in the core's `platform.txt`.
    core: &'static str,
    /// The compiler's version.
    compiler: &'static str,
    /// Added for C++.
    cxx_flags: &'static [&'static str],
}

const QUIRKS: &[Quirk] = &[
    // Debian 12: the core's WString.cpp takes DECIMAL_DIG from <float.h>, which gcc before 6 defines for C99 and not
    // for C++11. The compiler's own macro has the value.
    Quirk { core: "1.8.7", compiler: "5.4.0", cxx_flags: &["-DDECIMAL_DIG=__DECIMAL_DIG__"] },
    Quirk { core: "1.8.6", compiler: "5.4.0", cxx_flags: &["-DDECIMAL_DIG=__DECIMAL_DIG__"] },
];

/// What is added for C++ with this core and this compiler.
pub(crate) fn cxx_flags(core: &str, compiler: &str) -> impl Iterator<Item = &'static str> {
    let (core, compiler) = (core.to_owned(), compiler.to_owned());
    QUIRKS
        .iter()
        .filter(move |quirk| quirk.core == core && quirk.compiler == compiler)
        .flat_map(|quirk| quirk.cxx_flags.iter().copied())
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_where_they_do_not_agree() {
        assert_eq!(super::cxx_flags("1.8.7", "5.4.0").count(), 1);
        assert_eq!(super::cxx_flags("1.8.7", "7.3.0").count(), 0);
    }
}
