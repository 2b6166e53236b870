//! Profiles whose facts are public. Each file says where from.

/// Id and text of each.
pub(super) const BUILT_IN: &[(&str, &str)] = &[
    ("arrow-db410c", include_str!("builtin/arrow-db410c.toml")),
    ("google-sargo", include_str!("builtin/google-sargo.toml")),
    ("oneplus-enchilada", include_str!("builtin/oneplus-enchilada.toml")),
    ("oneplus-fajita", include_str!("builtin/oneplus-fajita.toml")),
    ("samsung-gt510", include_str!("builtin/samsung-gt510.toml")),
    ("shift-axolotl", include_str!("builtin/shift-axolotl.toml")),
    ("xiaomi-beryllium", include_str!("builtin/xiaomi-beryllium.toml")),
];
