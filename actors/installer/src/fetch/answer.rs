//! What a server's answer means for what is there already. Pure.

/// What to do with an answer's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// They follow what is there. The whole is that long, where the server says so.
    Follow { total: Option<u64> },
    /// They are all of it, from the first on.
    Begin { total: Option<u64> },
    /// They are of somewhere else: nobody asked for them.
    Stray,
    /// There are no more than are there.
    NoMore,
    /// Later, perhaps.
    Busy,
    /// Not here.
    Refused,
}

/// By its status, its `Content-Range` and `Content-Length`, where `have` bytes are there and what follows was asked
/// for.
pub(crate) fn judge(status: u16, range: Option<&str>, length: Option<u64>, have: u64) -> Bytes {
    match status {
        206 => match range.and_then(parse_range) {
            Some((start, total)) if start == have => Bytes::Follow { total },
            _ => Bytes::Stray,
        },
        200 => Bytes::Begin { total: length },
        416 if have > 0 => Bytes::NoMore,
        // 408 Request Timeout, 425 Too Early, 429 Too Many Requests.
        408 | 425 | 429 | 500..=599 => Bytes::Busy,
        _ => Bytes::Refused,
    }
}

/// `bytes 5-9/10`: where it starts, and how long the whole is.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (span, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = span.split_once('-')?;
    let (start, end): (u64, u64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    let total = total.trim().parse().ok();
    (start <= end && total.is_none_or(|total| end < total)).then_some((start, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_follows() {
        let follow = |total| Bytes::Follow { total };
        assert_eq!(judge(206, Some("bytes 5-9/10"), Some(5), 5), follow(Some(10)));
        assert_eq!(judge(206, Some("bytes 5-9/*"), Some(5), 5), follow(None));
        for range in [
            Some("bytes 4-9/10"),
            Some("bytes 0-9/10"),
            Some("bytes 9-5/10"),
            Some("bytes 5-10/10"),
            Some("x"),
            None,
        ] {
            assert_eq!(judge(206, range, Some(5), 5), Bytes::Stray, "{range:?}");
        }
        assert_eq!(judge(200, None, Some(10), 5), Bytes::Begin { total: Some(10) });
        assert_eq!(judge(416, Some("bytes */10"), None, 10), Bytes::NoMore);
        assert_eq!(judge(416, None, None, 0), Bytes::Refused);
        assert_eq!(judge(503, None, None, 0), Bytes::Busy);
        assert_eq!(judge(404, None, None, 0), Bytes::Refused);
    }
}
