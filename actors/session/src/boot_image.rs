//! What is booted from memory: an image as it is, or one that is made of a kernel by the device's profile.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};

use farmhand_api::{BootSource, Problem};
use farmhand_image::android::{
    BootHeader, BootImageError, BuildError, CmdlineEdit, CmdlineError, FileKind, HEADER_BYTES_MAX,
    KernelError, Parts, Source, classify, copy_with_cmdline, encode_kernel, write_boot_image,
};
use farmhand_messages::compiler::Built;
use farmhand_messages::fastboot::BootParameters;
use farmhand_runtime::Paths;

use crate::artifact::{built, keep_stream};
use crate::problems;

/// Keeps what `boot` asks for. `parameters`: of the device's profile, where there is one. Blocking.
pub(crate) fn keep(
    paths: &Paths,
    boot: &BootSource,
    parameters: Option<&BootParameters>,
) -> Result<Built, Problem> {
    let wrong = |error: io::Error| problems::no_file(&boot.image, &error.to_string());
    let mut file = File::open(&boot.image).map_err(wrong)?;
    let file_bytes = file.metadata().map_err(wrong)?.len();
    if file_bytes == 0 {
        return Err(problems::empty_file(&boot.image));
    }
    let mut head = Vec::new();
    (&mut file).take(HEADER_BYTES_MAX as u64).read_to_end(&mut head).map_err(wrong)?;
    file.rewind().map_err(wrong)?;
    let made = match classify(&head) {
        FileKind::BootImage => as_it_is(boot, &head, file_bytes, file)?,
        kind if kind.is_kernel() => make(boot, parameters, file)?,
        FileKind::Unknown => {
            return Err(problems::not_bootable(&boot.image, "it is neither a boot image nor a kernel"));
        }
        kind => {
            let why = format!("it is {kind}, and neither a boot image nor a kernel");
            return Err(problems::not_bootable(&boot.image, &why));
        }
    };
    let kept = keep_stream(paths, &mut { made }).map_err(wrong)?;
    Ok(built(kept.path, kept.hash, kept.bytes))
}

/// An image that is one already, with more on its command line where that is wanted.
fn as_it_is(boot: &BootSource, head: &[u8], file_bytes: u64, file: File) -> Result<Box<dyn Read>, Problem> {
    BootHeader::read(head, file_bytes).map_err(|error| not_an_image(boot, &error))?;
    if boot.ramdisk.is_some() || boot.dtb.is_some() {
        let why = "it is a boot image already; a ramdisk and a device tree go with a kernel";
        let help = "leave --ramdisk and --dtb away, or name the kernel in place of the image";
        return Err(problems::not_bootable_for(&boot.image, why, help));
    }
    let Some(cmdline) = &boot.cmdline else { return Ok(Box::new(file)) };
    let mut image = Vec::new();
    copy_with_cmdline(&mut BufReader::new(file), file_bytes, CmdlineEdit::Append(cmdline), &mut image)
        .map_err(|error| no_cmdline(boot, &error))?;
    Ok(Box::new(Cursor::new(image)))
}

/// Why what begins as an image is none.
fn not_an_image(boot: &BootSource, error: &BootImageError) -> Problem {
    let why = error.to_string();
    match error {
        BootImageError::Truncated { .. } => problems::cut(&boot.image, &why),
        BootImageError::NotOne => problems::not_bootable(&boot.image, &why),
        _ => {
            let help = "it begins as an Android boot image; make it anew, of header version 0 to 4";
            problems::not_bootable_for(&boot.image, &why, help)
        }
    }
}

/// Why its command line stays as it is.
fn no_cmdline(boot: &BootSource, error: &CmdlineError) -> Problem {
    match error {
        CmdlineError::Image(error) => not_an_image(boot, error),
        CmdlineError::Version(_) => {
            let help = "leave --cmdline away, or name the kernel in place of the image";
            problems::not_bootable_for(&boot.image, &error.to_string(), help)
        }
        CmdlineError::Copy(error) => problems::no_file(&boot.image, &error.to_string()),
        _ => problems::not_a_cmdline(&boot.image, &error.to_string()),
    }
}

/// Why none is made of a kernel.
fn not_made(boot: &BootSource, error: &BuildError) -> Problem {
    let why = error.to_string();
    let help = match error {
        BuildError::CmdlineTooLong(_) | BuildError::CmdlineHasZero(_) => {
            return problems::not_a_cmdline(&boot.image, &why);
        }
        BuildError::NoDtb => NAME_THE_TREE,
        BuildError::DtbHasNoPlace(_) => {
            "leave --dtb away; or, in [boot] of the profile: kernel = \"image.gz+dtb\""
        }
        BuildError::TooLarge { .. } => "a smaller ramdisk, or a kernel that is packed; or another profile",
        _ => "is it the right profile? farmhand profile list says which there are, and where from",
    };
    problems::not_bootable_for(&boot.image, &why, help)
}

const NAME_THE_TREE: &str = "name it: --dtb FILE, or dtb in [boot] of farmhand.toml";

/// One that is made of a kernel.
fn make(
    boot: &BootSource,
    parameters: Option<&BootParameters>,
    mut kernel: File,
) -> Result<Box<dyn Read>, Problem> {
    // What a loader does with a kernel at another address than its own is nobody's guess.
    let Some(parameters) = parameters else { return Err(problems::kernel_without_profile(&boot.image)) };
    let open = |path: &String| {
        File::open(path).map(BufReader::new).map_err(|error| problems::no_file(path, &error.to_string()))
    };
    let mut bytes = Vec::new();
    kernel.read_to_end(&mut bytes).map_err(|error| problems::no_file(&boot.image, &error.to_string()))?;
    let mut dtb = Vec::new();
    if let Some(path) = &boot.dtb {
        open(path)?.read_to_end(&mut dtb).map_err(|error| problems::no_file(path, &error.to_string()))?;
    }
    let encoding = parameters.kernel;
    let behind = Some(dtb.as_slice()).filter(|_| encoding.has_dtb() && boot.dtb.is_some());
    let encoded = encode_kernel(&bytes, behind, encoding).map_err(|error| {
        let help = match error {
            KernelError::NoDtb => NAME_THE_TREE,
            _ => "build the kernel anew, or copy it again",
        };
        problems::not_bootable_for(&boot.image, &error.to_string(), help)
    })?;
    let cmdline = [Some(parameters.cmdline.as_str()), boot.cmdline.as_deref()];
    let cmdline: Vec<_> = cmdline.into_iter().flatten().filter(|text| !text.is_empty()).collect();
    let mut ramdisk = boot.ramdisk.as_ref().map(open).transpose()?;
    let (mut kernel, mut tree) = (Cursor::new(encoded), Cursor::new(dtb));
    let parts = Parts {
        kernel: &mut kernel,
        ramdisk: ramdisk.as_mut().map(|ramdisk| ramdisk as &mut dyn Source),
        second: None,
        dtb: (boot.dtb.is_some() && !encoding.has_dtb()).then_some(&mut tree as &mut dyn Source),
    };
    let mut image = Vec::new();
    write_boot_image(&parameters.layout, &cmdline.join(" "), parts, &mut image)
        .map_err(|error| not_made(boot, &error))?;
    Ok(Box::new(Cursor::new(image)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use farmhand_image::android::BootLayout;

    use super::*;

    /// Enough of a kernel for arm64 to be taken for one.
    fn kernel() -> Vec<u8> {
        let mut kernel = vec![7; 5000];
        kernel[56..60].copy_from_slice(b"ARM\x64");
        kernel
    }

    fn source(folder: &Path, bytes: &[u8], cmdline: Option<&str>) -> BootSource {
        let image = folder.join("given");
        std::fs::write(&image, bytes).unwrap();
        BootSource {
            image: image.display().to_string(),
            ramdisk: None,
            dtb: None,
            cmdline: cmdline.map(str::to_owned),
        }
    }

    fn header(built: &Built) -> BootHeader {
        let bytes = std::fs::read(&built.artifact).unwrap();
        BootHeader::read(&bytes, bytes.len() as u64).unwrap()
    }

    #[test]
    fn a_kernel_becomes_an_image_and_an_image_stays_one() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(home.path());
        let parameters = BootParameters { cmdline: "console=ttyMSM0".into(), ..BootParameters::default() };
        let made = keep(&paths, &source(home.path(), &kernel(), Some("quiet")), Some(&parameters)).unwrap();
        assert_eq!(header(&made).cmdline, b"console=ttyMSM0 quiet");
        assert_eq!(made.sizes.image_bytes, std::fs::metadata(&made.artifact).unwrap().len());

        let image = std::fs::read(&made.artifact).unwrap();
        let kept = keep(&paths, &source(home.path(), &image, None), None).unwrap();
        assert_eq!(kept.hash, made.hash, "it is the same file");
        let more = keep(&paths, &source(home.path(), &image, Some("ro")), None).unwrap();
        assert_eq!(header(&more).cmdline, b"console=ttyMSM0 quiet ro");
    }

    #[test]
    fn what_is_no_image_and_what_is_too_large_are_refused_with_the_reason() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(home.path());
        let refused = |bytes: &[u8], parameters: Option<&BootParameters>| {
            let problem = keep(&paths, &source(home.path(), bytes, None), parameters).unwrap_err();
            format!("{} {}", problem.code, problem.message)
        };
        assert!(refused(b"", None).starts_with("F133"));
        assert!(refused(b"text", None).starts_with("F131"));
        assert!(refused(b"text", None).contains("neither a boot image nor a kernel"));
        let unknown = keep(&paths, &source(home.path(), &kernel(), None), None).unwrap_err();
        assert_eq!(unknown.code, "F136", "nobody guesses where its loader wants it");
        let any = BootParameters::default();
        let whole = keep(&paths, &source(home.path(), &kernel(), None), Some(&any)).unwrap();
        let image = std::fs::read(whole.artifact).unwrap();
        let cut = refused(&image[..image.len() / 2], None);
        assert!(cut.starts_with("F134") && cut.contains("bytes are missing"), "{cut}");
        let small = BootParameters {
            layout: BootLayout { kernel_bytes_max: Some(4000), ..BootLayout::default() },
            ..BootParameters::default()
        };
        assert!(refused(&kernel(), Some(&small)).contains("4000 fit"));
    }

    /// What is done about it is said with each: a hint that fits none of them helps nobody.
    #[test]
    fn what_a_kernel_is_to_be_told_and_what_goes_with_an_image_have_hints_of_their_own() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(home.path());
        let long = "x".repeat(1600);
        let any = BootParameters::default();
        let check = |boot: &BootSource, code: &str, why: &str, help: &str| {
            let problem = keep(&paths, boot, Some(&any)).unwrap_err();
            assert_eq!(problem.code, code, "{problem:?}");
            assert!(problem.message.contains(why), "{problem:?}");
            assert!(problem.help.iter().any(|line| line.contains(help)), "{problem:?}");
        };
        check(&source(home.path(), &kernel(), Some(&long)), "F135", "1600 bytes, and 1536 fit", "--cmdline");
        let image = keep(&paths, &source(home.path(), &kernel(), None), Some(&any)).unwrap();
        let image = std::fs::read(image.artifact).unwrap();
        check(&source(home.path(), &image, Some(&long)), "F135", "1600 bytes, and 1536 fit", "--cmdline");
        let with = BootSource { ramdisk: Some("r".into()), ..source(home.path(), &image, None) };
        check(&with, "F131", "boot image already", "leave --ramdisk");
        let mut newer = image;
        newer[40] = 9;
        check(&source(home.path(), &newer, None), "F131", "header version 9", "make it anew");
    }
}
