//! Turns finished bytes into a page that is served from memory: compressed ahead, tagged ahead.
//! It must not know what the bytes say.

use std::io::Write;

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use maud::Markup;

use crate::negotiation::wanted;

/// A browser keeps a page and asks again each time: the answer is nearly always 304. A cache that
/// stands before the gateways gives it for a second without asking, so that a crowd comes to them
/// as one, and a change is seen a second later. (`no-cache` would let no such cache keep it.)
const REVALIDATE: &str = "public, max-age=0, s-maxage=1";

/// A fingerprinted asset never changes under its name, so it is asked for once.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// One encoding of a page, ready to be sent.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The value of `Content-Encoding`; `None` sends none.
    pub content_encoding: Option<&'static str>,
    /// The encoded bytes.
    pub body: Bytes,
    /// The strong entity tag of `body`, in its quotes.
    pub etag: String,
}

impl Encoded {
    fn new(content_encoding: Option<&'static str>, body: Bytes) -> Self {
        let etag = etag(&body);
        Self { content_encoding, body, etag }
    }
}

/// A page in every encoding that makes it smaller. It is sent with `Vary: accept-encoding`.
#[derive(Clone, Debug)]
pub struct Page {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The value of `Cache-Control`.
    pub cache_control: &'static str,
    /// The bytes as they are.
    pub identity: Encoded,
    /// The bytes in gzip, where that is smaller.
    pub gzip: Option<Encoded>,
    /// The bytes in Brotli, where that is smaller.
    pub br: Option<Encoded>,
}

impl Page {
    /// The encoding for a request with this `Accept-Encoding` (several header lines joined by
    /// commas): the one that the client wants most; of equals br, then gzip. Where the client
    /// names none, or none that there is, it gets the bytes as they are, as RFC 9110 advises.
    #[must_use]
    pub fn select(&self, accept_encoding: Option<&str>) -> &Encoded {
        let Some(accept_encoding) = accept_encoding else {
            return &self.identity;
        };
        let wanted = wanted(accept_encoding);
        let offers = [
            (self.br.as_ref(), wanted.br),
            (self.gzip.as_ref(), wanted.gzip),
            (Some(&self.identity), wanted.identity),
        ];
        let mut best = (&self.identity, 0);
        for (encoded, weight) in offers {
            let (Some(encoded), Some(weight)) = (encoded, weight) else { continue };
            // Only a greater weight wins, so of equals the first offer stays.
            if weight > best.1 {
                best = (encoded, weight);
            }
        }
        best.0
    }

    /// A page that is sent as it is, for a start that cannot wait until it is compressed.
    #[must_use]
    pub fn plain(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let identity = Encoded::new(None, body.into());
        Self { content_type, cache_control: REVALIDATE, identity, gzip: None, br: None }
    }

    /// The same page in every encoding that makes it smaller. Slow on purpose (Brotli at its
    /// highest quality): call it when something has changed, never for a request.
    #[must_use]
    pub fn compressed(self) -> Self {
        let body = &self.identity.body;
        let keep = |content_encoding: &'static str, encoded: Vec<u8>| {
            (encoded.len() < body.len())
                .then(|| Encoded::new(Some(content_encoding), Bytes::from(encoded)))
        };
        Self { br: keep("br", brotli(body)), gzip: keep("gzip", gzip(body)), ..self }
    }

    /// The same page, under a name that changes whenever its bytes do.
    pub(crate) fn immutable(self) -> Self {
        Self { cache_control: IMMUTABLE, ..self }
    }
}

/// Compresses and tags `body` once, so that serving it is a copy; see [`Page::compressed`].
#[must_use]
pub fn prerender(content_type: &'static str, body: impl Into<Bytes>) -> Page {
    Page::plain(content_type, body).compressed()
}

/// A rendered document as a page.
pub(crate) fn html(markup: Markup) -> Page {
    plain_html(markup).compressed()
}

/// The same, to be compressed later.
pub(crate) fn plain_html(markup: Markup) -> Page {
    Page::plain("text/html; charset=utf-8", markup.into_string())
}

/// The first 128 bits of BLAKE3 over the encoded bytes: equal tags mean equal bytes, whichever
/// gateway rendered them.
fn etag(body: &[u8]) -> String {
    let hash = blake3::hash(body).to_hex();
    format!("\"{}\"", &hash[..32])
}

fn brotli(body: &[u8]) -> Vec<u8> {
    let params = BrotliEncoderParams { quality: 11, size_hint: body.len(), ..Default::default() };
    let mut encoded = Vec::new();
    brotli::BrotliCompress(&mut &*body, &mut encoded, &params)
        .expect("reading a slice and writing a vector cannot fail");
    encoded
}

/// The header carries no time and no name, so the same bytes give the same tag everywhere.
fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing a vector cannot fail")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{Page, prerender};

    fn long() -> Page {
        prerender("text/plain", "the same words again and again, ".repeat(100))
    }

    #[test]
    fn every_encoding_decodes_to_the_same_bytes() {
        let page = long();
        let mut gunzipped = Vec::new();
        flate2::read::GzDecoder::new(&page.gzip.as_ref().unwrap().body[..])
            .read_to_end(&mut gunzipped)
            .unwrap();
        let mut unbrotlied = Vec::new();
        brotli::BrotliDecompress(&mut &page.br.as_ref().unwrap().body[..], &mut unbrotlied)
            .unwrap();
        assert_eq!(gunzipped, page.identity.body);
        assert_eq!(unbrotlied, page.identity.body);
    }

    #[test]
    fn an_encoding_that_does_not_help_is_not_kept() {
        for body in ["", "ok"] {
            let page = prerender("text/plain", body);
            assert!(page.gzip.is_none() && page.br.is_none());
            assert_eq!(page.select(Some("br, gzip, identity;q=0")).body, body);
        }
    }

    #[test]
    fn tags_are_strong_and_of_the_encoded_bytes() {
        let (page, again) = (long(), long());
        let encodings = |page: &Page| {
            [page.identity.clone(), page.gzip.clone().unwrap(), page.br.clone().unwrap()]
        };
        for (encoded, again) in encodings(&page).iter().zip(encodings(&again)) {
            assert_eq!(encoded.etag, again.etag);
            assert_eq!(encoded.etag.len(), 34);
            assert!(encoded.etag.starts_with('"') && encoded.etag.ends_with('"'));
            let hash = blake3::hash(&encoded.body).to_hex();
            assert_eq!(encoded.etag.trim_matches('"'), &hash[..32]);
        }
        let [identity, gzip, br] = encodings(&page).map(|encoded| encoded.etag);
        assert!(identity != gzip && gzip != br && br != identity);
        assert_ne!(identity, prerender("text/plain", "other").identity.etag);
    }

    #[test]
    fn the_encoding_wanted_most_is_selected() {
        let page = long();
        for (accept_encoding, selected) in [
            (None, None),
            (Some(""), None),
            (Some("deflate, zstd"), None),
            (Some("gzip, deflate, br, zstd"), Some("br")),
            (Some("gzip"), Some("gzip")),
            (Some("x-gzip"), Some("gzip")),
            (Some("br;q=0, gzip"), Some("gzip")),
            (Some("br;q=0.5, gzip;q=1.0"), Some("gzip")),
            (Some("br;q=0.5, gzip;q=0.5"), Some("br")),
            (Some("gzip;q=0.001"), Some("gzip")),
            (Some("identity, gzip;q=0.5"), None),
            (Some("identity;q=0.5, gzip;q=0.4"), None),
            (Some("*"), Some("br")),
            (Some("*;q=0"), None),
            (Some("br;q=0, *"), Some("gzip")),
            (Some("br;q=0, gzip;q=0, *"), None),
            (Some("identity;q=0"), None),
            (Some("identity;q=0, *;q=0.1"), Some("br")),
            (Some("gzip;q=0, br;q=0"), None),
        ] {
            let encoded = page.select(accept_encoding);
            assert_eq!(encoded.content_encoding, selected, "{accept_encoding:?}");
        }
    }
}
