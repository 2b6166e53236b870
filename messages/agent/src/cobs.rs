//! Consistent overhead byte stuffing (Cheshire and Baker, 1999): bytes without a zero, so that a zero can end
//! them.

/// A run of this many bytes without a zero is followed by no implied one.
const RUN_LEN_MAX: usize = 254;

/// How many bytes `len` bytes become at most.
pub(crate) const fn stuffed_len_max(len: usize) -> usize {
    len + len / RUN_LEN_MAX + 1
}

/// Appends `bytes`, stuffed, without the zero that ends them.
pub(crate) fn stuff(bytes: &[u8], into: &mut Vec<u8>) {
    let mut rest = bytes;
    loop {
        let run = rest.iter().take(RUN_LEN_MAX).take_while(|&&byte| byte != 0).count();
        let code = u8::try_from(run + 1).expect("a run is at most 254");
        into.push(code);
        into.extend_from_slice(&rest[..run]);
        if run == rest.len() {
            return;
        }
        // A full run stands for itself alone: the zero behind it, if there is one, begins the next.
        rest = if run == RUN_LEN_MAX { &rest[run..] } else { &rest[run + 1..] };
    }
}

/// What was stuffed; `None` if nobody stuffs so.
pub(crate) fn unstuff(stuffed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(stuffed.len());
    let mut rest = stuffed;
    while let Some((&code, behind)) = rest.split_first() {
        let run = usize::from(code).checked_sub(1)?;
        if run > behind.len() || behind[..run].contains(&0) {
            return None;
        }
        bytes.extend_from_slice(&behind[..run]);
        rest = &behind[run..];
        if run < RUN_LEN_MAX && !rest.is_empty() {
            bytes.push(0);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expect: &[u8]) {
        let mut stuffed = Vec::new();
        stuff(bytes, &mut stuffed);
        assert_eq!(stuffed, expect);
        assert_eq!(unstuff(&stuffed).as_deref(), Some(bytes));
    }

    #[test]
    fn as_published() {
        check(&[], &[1]);
        check(&[0], &[1, 1]);
        check(&[0, 0], &[1, 1, 1]);
        check(&[0x11, 0x22, 0, 0x33], &[3, 0x11, 0x22, 2, 0x33]);
        check(&[0x11, 0, 0, 0], &[2, 0x11, 1, 1, 1]);
    }

    #[test]
    fn lengths_around_a_full_run() {
        for len in [253, 254, 255, 508, 509, 600] {
            for last in [0, 7] {
                let mut bytes = vec![1; len];
                bytes[len - 1] = last;
                let mut stuffed = Vec::new();
                stuff(&bytes, &mut stuffed);
                assert!(!stuffed.contains(&0));
                assert!(stuffed.len() <= stuffed_len_max(len), "{len}");
                assert_eq!(unstuff(&stuffed), Some(bytes));
            }
        }
    }

    #[test]
    fn a_run_that_is_cut_is_refused() {
        assert_eq!(unstuff(&[3, 1]), None);
        assert_eq!(unstuff(&[0]), None);
    }
}
