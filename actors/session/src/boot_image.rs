//! What is booted from memory: an image as it is, or one that is made of a kernel by the device's profile.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};

use farmhand_api::{BootSource, Problem};
use farmhand_image::android::{
    BootHeader, CmdlineEdit, FileKind, HEADER_BYTES_MAX, Parts, Source, classify, copy_with_cmdline,
    encode_kernel, write_boot_image,
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
    let wrong = |why: String| problems::not_bootable(&boot.image, &why);
    BootHeader::read(head, file_bytes).map_err(|error| wrong(error.to_string()))?;
    if boot.ramdisk.is_some() || boot.dtb.is_some() {
        return Err(wrong("it is a boot image already; a ramdisk and a device tree go with a kernel".into()));
    }
    let Some(cmdline) = &boot.cmdline else { return Ok(Box::new(file)) };
    let mut image = Vec::new();
    copy_with_cmdline(&mut BufReader::new(file), file_bytes, CmdlineEdit::Append(cmdline), &mut image)
        .map_err(|error| wrong(error.to_string()))?;
    Ok(Box::new(Cursor::new(image)))
}

/// One that is made of a kernel.
fn make(
    boot: &BootSource,
    parameters: Option<&BootParameters>,
    mut kernel: File,
) -> Result<Box<dyn Read>, Problem> {
    // What a loader does with a kernel at another address than its own is nobody's guess.
    let Some(parameters) = parameters else { return Err(problems::kernel_without_profile(&boot.image)) };
    let wrong = |why: String| problems::not_bootable(&boot.image, &why);
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
    let encoded = encode_kernel(&bytes, behind, encoding).map_err(|error| wrong(error.to_string()))?;
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
        .map_err(|error| wrong(error.to_string()))?;
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
        assert_eq!(made.image_bytes, std::fs::metadata(&made.artifact).unwrap().len());

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
            assert_eq!(problem.code, "F131");
            problem.message
        };
        assert!(refused(b"text", None).contains("neither a boot image nor a kernel"));
        let unknown = keep(&paths, &source(home.path(), &kernel(), None), None).unwrap_err();
        assert_eq!(unknown.code, "F133", "nobody guesses where its loader wants it");
        let any = BootParameters::default();
        let whole = keep(&paths, &source(home.path(), &kernel(), None), Some(&any)).unwrap();
        let image = std::fs::read(whole.artifact).unwrap();
        assert!(refused(&image[..image.len() / 2], None).contains("bytes"), "it is cut");
        let small = BootParameters {
            layout: BootLayout { kernel_bytes_max: Some(4000), ..BootLayout::default() },
            ..BootParameters::default()
        };
        assert!(refused(&kernel(), Some(&small)).contains("4000 fit"));
    }
}
