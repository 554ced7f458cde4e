//! Where a request comes from, as far as the proxies on its way are to be believed.
//!
//! It must not know what the address is for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;

/// The last address of `X-Forwarded-For` that no trusted proxy has, where the peer is one; each
/// proxy adds whom it was asked by, so what stands before that address is the client's own word.
/// The peer where the list ends before, or has something there that is no address.
pub(super) fn client(headers: &HeaderMap, peer: IpAddr, trusted: &[IpAddr]) -> IpAddr {
    if !trusted.contains(&peer) {
        return peer;
    }
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let is_proxy = |hop: &Option<IpAddr>| hop.is_some_and(|hop| trusted.contains(&hop));
    hops.map(address).find(|hop| !is_proxy(hop)).flatten().unwrap_or(peer)
}

/// An address as proxies write it: bare, or with a port, as some load balancers do.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bare = || hop.parse::<IpAddr>().ok();
    let with_port = || hop.parse().ok().map(|address: SocketAddr| address.ip());
    let in_brackets = || {
        let inner = hop.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse().ok().map(|address: Ipv6Addr| address.into())
    };
    let address = bare().or_else(with_port).or_else(in_brackets)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seen(peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
        }
        let trusted = ["10.0.0.1", "10.0.0.2", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        client(&headers, peer.parse().unwrap(), &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_who_they_are() {
        assert_eq!(seen("192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(seen("192.0.2.1", &[b"203.0.113.7"]), "192.0.2.1");
        assert_eq!(seen("192.0.2.1", &[b"10.0.0.1"]), "192.0.2.1");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        for (lines, expected) in [
            (&[&b"203.0.113.7"[..]][..], "203.0.113.7"),
            (&[b"198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            (&[b"198.51.100.1", b"203.0.113.7"], "203.0.113.7"),
            (&[b"198.51.100.1, 203.0.113.7 , 10.0.0.2"], "203.0.113.7"),
            (&[b"203.0.113.7", b"10.0.0.2,10.0.0.1"], "203.0.113.7"),
            (&[b"203.0.113.7,::ffff:10.0.0.2"], "203.0.113.7"),
            (&[b"203.0.113.7,[2001:db8::1]:443"], "203.0.113.7"),
            (&[b"\xff\xfe, 203.0.113.7"], "203.0.113.7"),
            (&[b"2001:db8::7"], "2001:db8::7"),
            (&[b"[2001:db8::7]"], "2001:db8::7"),
            (&[b"[2001:db8::7]:8080"], "2001:db8::7"),
            (&[b"203.0.113.7:8080"], "203.0.113.7"),
            (&[b"::ffff:203.0.113.7"], "203.0.113.7"),
        ] {
            assert_eq!(seen("10.0.0.1", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_the_proxys_own_business() {
        for lines in [
            &[][..],
            &[&b""[..]],
            &[b"10.0.0.2"],
            &[b"unknown"],
            &[b"203.0.113.7, unknown"],
            &[b"203.0.113.7,"],
            &[b"203.0.113.7, \xff"],
            &[b"203.0.113.7", b"_hidden"],
            &[b"203.0.113.256"],
            &[b"203.0.113"],
            &[b"[203.0.113.7]"],
            &[b"2001:db8::7::1"],
            &[b"for=203.0.113.7"],
        ] {
            assert_eq!(seen("10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
    }
}
