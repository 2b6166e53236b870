use std::collections::BTreeMap;
use std::fs;

use farmhand_api::Problem;
use farmhand_image::android::KernelEncoding;
use farmhand_messages::fastboot::{Profile, Wanted};
use proptest::prelude::*;

use super::*;

fn seen(usb: &str) -> Seen {
    Seen { usb: Some(usb.into()), serial: Some("S1".into()), port_path: Some("1-2".into()) }
}

fn read(text: &str) -> Profile {
    read_profile("it", "it.toml", text).unwrap()
}

/// Asks what it is told to, of a device that has these variables; every question, and the verdict.
fn probed(
    probing: &mut Probing,
    variables: &BTreeMap<&str, &str>,
) -> (Vec<String>, Result<Option<String>, AmbiguousError>) {
    let mut asked = Vec::new();
    loop {
        match probing.next() {
            Next::Ask(variable) => {
                assert!(!asked.contains(&variable), "{variable} was asked twice");
                probing.answer(&variable, variables.get(&*variable).map(|value| (*value).to_owned()));
                asked.push(variable);
            }
            Next::Done(verdict) => return (asked, verdict.map(|found| found.map(|it| it.id))),
        }
    }
}

#[test]
fn all_that_a_profile_says() {
    let profile = read(
        "id = \"it\"\ntitle = \"It\"\nmatch = { usb = [\"18D1:D00D\"], serial = \"s\", port_path = \"1-4\" }\n\
         next = { usb = [\"1d6b:0104\"] }\n\
         [[probe]]\ngetvar = \"a\"\nequals = \"x\"\n[[probe]]\ngetvar = \"b\"\nstarts_with = \"y\"\n\
         [[probe]]\ngetvar = \"c\"\nnot-equals = \"z\"\n[[probe]]\ngetvar = \"d\"\nexists = true\n\
         [[probe]]\ngetvar = \"e\"\nnot_exists = true\n\
         [boot]\nheader_version = 2\npage-size = 4_096\nbase = 0x80000000\nmax_kernel_bytes = 5\n\
         dtb-offset = 0x1_0000_0000\nkernel = \"image.gz+dtb\"\ncmdline = \"\"\n",
    );
    assert_eq!(profile.identity.usb, ["18d1:d00d"]);
    assert_eq!(profile.identity.port_path.as_deref(), Some("1-4"));
    assert_eq!(profile.next, ["1d6b:0104"]);
    let wanted: Vec<_> = profile.probes.into_iter().map(|probe| probe.wanted).collect();
    let text = str::to_owned;
    assert_eq!(
        wanted,
        [
            Wanted::Equals(text("x")),
            Wanted::StartsWith(text("y")),
            Wanted::NotEquals(text("z")),
            Wanted::Exists,
            Wanted::NotExists
        ]
    );
    assert_eq!((profile.boot.layout.base, profile.boot.layout.dtb_offset), (0x8000_0000, 1 << 32));
    assert_eq!((profile.boot.layout.page_bytes, profile.boot.kernel), (4096, KernelEncoding::GzipWithDtb));
    assert_eq!(profile.boot.layout.kernel_bytes_max, Some(5));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let mut all = String::new();
    for text in [
        "",
        "title = \"x\"\nmacth = { usb = [\"18d1:d00d\"] }",
        "match = { usbs = [\"18d1:d00d\"] }",
        "match = { usb = [\"18d1\"] }",
        "match = { usb = \"18d1:d00d\" }",
        "match = { serial = \"\" }",
        "id = \"other\"\nmatch = { serial = \"s\" }",
        "probe = 1",
        "[[probe]]\nequals = \"x\"",
        "[[probe]]\ngetvar = \"x\"",
        "[[probe]]\ngetvar = \"x\"\nequal = \"y\"",
        "[[probe]]\ngetvar = \"x\"\nstart_with = \"y\"",
        "[[probe]]\ngetvar = \"x\"\nequals = \"y\"\nexists = true",
        "[[probe]]\ngetvar = \"x\"\nexists = false",
        "[[probe]]\ngetvar = \"x\"\nequals = 1",
        "[[probe]]\ngetvar = \"x\"\nstarts-with = \"y\"\nstarts_with = \"y\"",
        "[boot]\npagesize = 2048",
        "[boot]\npage-size = 3000",
        "[boot]\nheader-version = 5",
        "[boot]\nbase = -1",
        "[boot]\nbase = 0xffffffff",
        "[boot]\nmax-image-bytes = 0",
        "[boot]\nkernel = \"image.gzip\"",
        "[boot]\nkernel = \"image",
    ] {
        let problem = Problem::from(read_profile("it", "it.toml", text).unwrap_err());
        let place = problem.place.expect("it has a place");
        let help = problem.help.join("; ");
        all += &format!(
            "{}:{}:{}: {} {}{}{help}\n",
            place.file,
            place.line,
            place.column,
            problem.code,
            problem.message,
            if help.is_empty() { "" } else { " -- " }
        );
    }
    insta::assert_snapshot!(all);
}

#[test]
fn built_in_profiles_are_good_and_told_apart() {
    let all = Profiles::built_in();
    assert_eq!(all.damaged(), []);
    assert_eq!(all.all().count(), 7);
    let google = seen("18d1:d00d");
    let found = |variables: &[(&'static str, &'static str)]| {
        let mut probing = Probing::new(all.candidates(&google), &google);
        probed(&mut probing, &variables.iter().copied().collect()).1
    };
    let id = |id: &str| Ok(Some(id.to_owned()));
    assert_eq!(found(&[("product", " beryllium")]), id("xiaomi-beryllium"));
    assert_eq!(found(&[("product", "sdm845")]), id("oneplus-enchilada"));
    let fajita = [("product", "sdm845"), ("partition-type:op2", "raw"), ("parallel-download-flash", "yes")];
    assert_eq!(found(&fajita), id("oneplus-fajita"));
    assert_eq!(found(&[("product", "MSM8916"), ("variant", "SBC eMMC")]), id("arrow-db410c"));
    assert_eq!(found(&[("product", "MSM8916"), ("variant", "MTP")]), Ok(None));
    assert_eq!(found(&[]), Ok(None));
    let error = found(&[("product", "sdm845"), ("serialno", "S6MQ1")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this device matches oneplus-enchilada and shift-axolotl alike; name one of them as its board"
    );
    assert_eq!(all.candidates(&seen("18d1:4ee0")).len(), 1);
    assert!(all.candidates(&Seen::default()).is_empty());
}

#[test]
fn later_folders_win_and_damage_hides_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folders =
        Folders { user: Some(folder.path().join("user")), project: Some(folder.path().join("project")) };
    assert_eq!(Profiles::load(&folders), Profiles::built_in());
    let write = |at: &str, text: &str| {
        let path = folder.path().join(at);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let named = |title: &str| format!("title = \"{title}\"\nmatch = {{ serial = \"s\" }}\n");
    write("user/google-sargo.toml", &named("the user's"));
    write("user/mine.toml", &named("the user's"));
    write("project/mine.toml", &named("the project's"));
    write("project/other.txt", "no profile");
    let all = Profiles::load(&folders);
    assert_eq!(all.damaged(), []);
    assert_eq!(all.get("google-sargo").unwrap().title, "the user's");
    assert_eq!(all.get("mine").unwrap().title, "the project's");
    assert_eq!(all.get("oneplus-fajita").unwrap().origin, "built in");
    write("project/mine.toml", "mtach = {}");
    write("user/oneplus-fajita.toml", "[boot");
    let all = Profiles::load(&folders);
    assert_eq!(all.damaged().len(), 2);
    let places: Vec<_> = all.damaged().iter().map(|error| error.origin.to_string()).collect();
    assert!(places[0].ends_with("oneplus-fajita.toml:1:6"), "{places:?}");
    assert!(places[1].ends_with("mine.toml:1:1"), "{places:?}");
    // Not the one that they were to replace.
    assert!(all.get("mine").is_none() && all.get("oneplus-fajita").is_none());
    assert!(all.get("oneplus-enchilada").is_some() && all.get("google-sargo").is_some());
}

/// Every kind of probe against every kind of answer.
#[test]
fn what_an_answer_proves() {
    for (probe, fail, empty, same, longer) in [
        ("equals = \"ab\"", false, false, true, false),
        ("starts-with = \"ab\"", false, false, true, true),
        ("not-equals = \"ab\"", false, true, false, true),
        ("exists = true", false, true, true, true),
        ("not-exists = true", true, false, false, false),
    ] {
        let profile = read(&format!("[[probe]]\ngetvar = \"v\"\n{probe}\n"));
        for (answer, holds) in [(None, fail), (Some(""), empty), (Some(" ab\n"), same), (Some("abc"), longer)]
        {
            let mut probing = Probing::new([&profile], &Seen::default());
            let variables = answer.map(|answer| ("v", answer)).into_iter().collect();
            let (asked, verdict) = probed(&mut probing, &variables);
            assert_eq!(asked, ["v"]);
            assert_eq!(verdict.unwrap().is_some(), holds, "{probe} {answer:?}");
        }
    }
}

/// By the words of the rule: all that hold, those with the most demands.
fn by_the_rule(profiles: &[Profile], seen: &Seen, has: &BTreeMap<&str, &str>) -> Vec<String> {
    let held: Vec<_> = profiles
        .iter()
        .filter(|profile| {
            holds(profile, seen).is_some()
                && profile.probes.iter().all(|probe| {
                    let value = has.get(&*probe.getvar).copied();
                    match &probe.wanted {
                        Wanted::Equals(text) => value == Some(text),
                        Wanted::StartsWith(text) => value.is_some_and(|it| it.starts_with(&**text)),
                        Wanted::NotEquals(text) => value.is_some() && value != Some(text),
                        Wanted::Exists => value.is_some(),
                        Wanted::NotExists => value.is_none(),
                    }
                })
        })
        .map(|it| (holds(it, seen).unwrap() + it.probes.len(), it.id.clone()))
        .collect();
    let most = held.iter().map(|(demands, _)| *demands).max().unwrap_or(0);
    held.into_iter().filter(|(demands, _)| *demands == most).map(|(_, id)| id).collect()
}

proptest! {
    #[test]
    fn the_most_demanding_profile_wins(
        profiles in prop::collection::vec((any::<bool>(), prop::collection::vec((0..3_usize, 0..5_usize), 1..4)), 1..6),
        has in prop::collection::btree_map(prop::sample::select(&["a", "b", "c"][..]),
            prop::sample::select(&["x", "xy", "z"][..]), 0..4),
    ) {
        let kinds = ["equals = \"x\"", "starts-with = \"x\"", "not-equals = \"x\"", "exists = true", "not-exists = true"];
        let profiles: Vec<Profile> = profiles.into_iter().enumerate().map(|(n, (usb, probes))| {
            let mut text = String::from(if usb { "match = { usb = [\"0001:0002\"] }\n" } else { "" });
            for (variable, kind) in probes {
                text += &format!("[[probe]]\ngetvar = \"{}\"\n{}\n", ["a", "b", "c"][variable], kinds[kind]);
            }
            read_profile(&format!("p{n}"), "p", &text).unwrap()
        }).collect();
        let seen = seen("0001:0002");
        let mut probing = Probing::new(&profiles, &seen);
        let (_, verdict) = probed(&mut probing, &has);
        let expected = by_the_rule(&profiles, &seen, &has);
        match verdict {
            Ok(None) => prop_assert!(expected.is_empty()),
            Ok(Some(id)) => prop_assert_eq!(expected, [id]),
            Err(error) => prop_assert_eq!(expected, error.profiles),
        }
    }

    #[test]
    fn no_text_panics(text in "(\\[boot\\]|\\[\\[probe\\]\\]|match|[a-z_=\"0-9\\[\\]{}\n -]){0,40}") {
        let _any = read_profile("it", "it.toml", &text);
    }
}
