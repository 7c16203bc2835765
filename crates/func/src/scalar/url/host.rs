//! Where the host of a URL is.
//!
//! In: any bytes. Out: the host within them, empty when there is none. A host has a dot that is not its last sign.

/// A letter and what may follow it in the name of a scheme.
pub(super) fn scheme(url: &[u8]) -> &[u8] {
    if !url.first().is_some_and(u8::is_ascii_alphabetic) {
        return &[];
    }
    let end = url.iter().position(|b| !is_scheme(*b)).unwrap_or(url.len());
    &url[..end]
}

fn is_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Bytes in which a scheme and its `://` must end.
const SCHEME_BYTES_MAX: usize = 16;

/// What stands behind `scheme://` or `//`, or everything when neither is there. `None` where a sign comes first that no
/// URL has.
pub(super) fn after_scheme(url: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = url.strip_prefix(b"//") {
        return Some(rest);
    }
    let head = &url[..url.len().min(SCHEME_BYTES_MAX)];
    let Some(end) = head.iter().skip(1).position(|b| !is_scheme(*b)).map(|at| at + 1) else { return Some(url) };
    match url[end] {
        _ if head[end..].starts_with(b"://") => Some(&url[end + 3..]),
        b if is_forbidden(b) || is_delimiter(b) || matches!(b, b'[' | b']') => None,
        _ => Some(url),
    }
}

/// Signs that no URL has.
fn is_forbidden(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'<' | b'>' | b'{' | b'}' | b'|' | b'\\' | b'^')
}

/// Signs that RFC 3986 allows in the name of a user alone.
fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b';' | b'=' | b'&' | b'~' | b'%')
}

/// The host as plain scanning finds it: it ends at the first colon, so a user with a password hides it.
pub(super) fn host(url: &[u8]) -> &[u8] {
    if url.last() == Some(&b'.') {
        return &[];
    }
    let Some(rest) = after_scheme(url) else { return &[] };
    let mut start = 0;
    let mut end = rest.len();
    for (i, byte) in rest.iter().enumerate() {
        match byte {
            b':' | b'/' | b'?' | b'#' => {
                end = i;
                break;
            }
            b'@' => start = i + 1,
            b if is_forbidden(*b) || is_delimiter(*b) || matches!(b, b'[' | b']') => return &[],
            _ => {}
        }
    }
    checked(&rest[start..end])
}

/// The host as RFC 3986 has it: behind `user:password@`, and an address in brackets as it is.
pub(super) fn host_rfc(url: &[u8]) -> &[u8] {
    let Some(rest) = after_scheme(url) else { return &[] };
    let authority = &rest[..rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len())];
    let host = &authority[memchr::memchr(b'@', authority).map_or(0, |at| at + 1)..];
    if authority.iter().any(|b| is_forbidden(*b)) || host.iter().any(|b| is_delimiter(*b)) {
        return &[];
    }
    if host.first() == Some(&b'[') {
        return memchr::memchr(b']', host).map_or(&[], |end| &host[..=end]);
    }
    let host = &host[..host.iter().position(|b| matches!(b, b':' | b'@')).unwrap_or(host.len())];
    checked(host)
}

/// A host has a dot, and something behind the last one.
fn checked(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b'.', host) {
        Some(dot) if dot + 1 < host.len() => host,
        _ => &[],
    }
}
