//! Rust text without what is not code: comments, strings and characters become spaces, and every
//! line keeps its number. Test modules are told from the rest.
//!
//! It knows Rust's tokens as far as needed to skip them. It must not know any rule.

/// What a file's text comes apart into; `code`, `production` and `tests` are as long as the text.
#[derive(Debug, Default)]
pub(crate) struct Stripped {
    /// All code.
    pub(crate) code: String,
    /// The code that is shipped.
    pub(crate) production: String,
    /// What stands under `#[cfg(test)]`.
    pub(crate) tests: String,
    /// String literals with their lines.
    pub(crate) literals: Vec<(usize, String)>,
    /// Modules in files of their own that are declared under `#[cfg(test)]`.
    pub(crate) test_modules: Vec<String>,
}

/// Takes a file's text apart.
pub(crate) fn strip(text: &str) -> Stripped {
    let (code, literals) = without_comments(text);
    let mut stripped = Stripped { literals, ..Stripped::default() };
    let spans = test_spans(&code);
    for &(from, to) in &spans {
        stripped.test_modules.extend(declared_module(&code[from..to]));
    }
    let is_test = |at: usize| spans.iter().any(|&(from, to)| (from..to).contains(&at));
    stripped.production = masked(&code, |at| !is_test(at));
    stripped.tests = masked(&code, is_test);
    stripped.code = code;
    stripped
}

/// Line of a byte, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
}

fn masked(code: &str, keeps: impl Fn(usize) -> bool) -> String {
    let kept = |(at, char): (usize, char)| if char == '\n' || keeps(at) { char } else { ' ' };
    code.char_indices().map(kept).collect()
}

/// Blanks comments and literals; what is left is ASCII but for exotic names.
fn without_comments(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut code: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (skipped, literal) = match rest {
            [b'/', b'/', ..] => (line_comment(rest), None),
            [b'/', b'*', ..] => (block_comment(rest), None),
            [b'"', ..] => string(rest),
            [b'r', ..] if !continues_name(bytes, at) => raw_string(rest),
            [b'\'', ..] => (character(&text[at..]), None),
            _ => (0, None),
        };
        if let Some(literal) = literal {
            literals.push((line_of(text, at), String::from_utf8_lossy(literal).into_owned()));
        }
        if skipped == 0 {
            code.push(if bytes[at].is_ascii() { bytes[at] } else { b'_' });
            at += 1;
            continue;
        }
        let blank = |&byte: &u8| if byte == b'\n' { b'\n' } else { b' ' };
        code.extend(rest[..skipped].iter().map(blank));
        at += skipped;
    }
    (String::from_utf8(code).expect("blanked to ASCII"), literals)
}

/// Whether the byte at `at` goes on with a name; `b` and `c` before a raw string do not make one.
fn continues_name(bytes: &[u8], at: usize) -> bool {
    let is_name = |at: usize| bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_';
    match at {
        0 => false,
        _ if matches!(bytes[at - 1], b'b' | b'c') => at > 1 && is_name(at - 2),
        _ => is_name(at - 1),
    }
}

fn line_comment(rest: &[u8]) -> usize {
    rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    rest.len()
}

fn string(rest: &[u8]) -> (usize, Option<&[u8]>) {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return (at + 1, Some(&rest[1..at])),
            _ => at += 1,
        }
    }
    (rest.len(), None)
}

fn raw_string(rest: &[u8]) -> (usize, Option<&[u8]>) {
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return (0, None);
    }
    let begin = 2 + hashes;
    let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let found = rest[begin..].windows(closing.len()).position(|window| window == closing);
    match found {
        Some(length) => (begin + length + closing.len(), Some(&rest[begin..begin + length])),
        None => (rest.len(), None),
    }
}

/// Bytes of a character literal; none for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            let end = rest[escaped + 1..].find('\'');
            end.map_or(rest.len(), |end| escaped + 1 + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 0,
    }
}

/// From the attribute to the end of its item, for every item under `#[cfg(test)]`.
fn test_spans(code: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(") {
        let begin = from + found;
        let end = begin + closing(&code[begin..]);
        let condition = &code[begin..end];
        let names_test = words(condition).any(|word| word == "test");
        from = end;
        if names_test && !condition.contains("not(test)") {
            from = end + item(&code[end..]);
            spans.push((begin, from));
        }
    }
    spans
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|char: char| !char.is_alphanumeric() && char != '_').filter(|word| !word.is_empty())
}

/// Bytes up to the end of the first bracket's pair.
fn closing(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 1 => return at + 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}

/// Bytes of an item: to its semicolon, or to the end of its braces.
fn item(code: &str) -> usize {
    let mut at = 0;
    while at < code.len() {
        match code.as_bytes()[at] {
            b';' => return at + 1,
            b'{' => return at + closing(&code[at..]),
            b'(' | b'[' => at += closing(&code[at..]),
            _ => at += 1,
        }
    }
    code.len()
}

/// The name of a module that the item declares to be in a file of its own.
fn declared_module(item: &str) -> Option<String> {
    let mut words = words(item).skip_while(|&word| word != "mod");
    let name = words.nth(1)?;
    item.trim_end().ends_with(';').then(|| name.to_owned())
}

#[test]
fn comments_and_literals_are_blanked_line_by_line() {
    let text = "let a = \"use crate::x;\"; // crate::y\n/* crate::z\n/* nested */ */ let b = r#\"\n\"crate::w\"#;\n\
                let c = '\"'; let d: &'static str = b\"\\\"\"; let e = '\\''; done";
    let stripped = strip(text);
    assert!(!stripped.code.contains("crate"), "{}", stripped.code);
    assert!(stripped.code.contains("&'static str") && stripped.code.ends_with("done"));
    assert_eq!(stripped.code.lines().count(), text.lines().count());
    assert_eq!(stripped.literals[0], (1, "use crate::x;".to_owned()));
    assert_eq!(stripped.literals[1], (3, "\n\"crate::w".to_owned()));
}

#[test]
fn tests_are_told_from_production() {
    let text = "fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests { fn b([u8; 4]) {} }\nfn c() {}\n\
                #[cfg(test)] mod model;\n#[cfg(not(test))] fn d() {}\n#[cfg(all(test, loom))] fn e(f: [u8; 1]) { g; }";
    let stripped = strip(text);
    for (name, is_production) in [
        ("fn a", true),
        ("fn b", false),
        ("fn c", true),
        ("fn d", true),
        ("fn e", false),
        ("g;", false),
    ] {
        assert_eq!(stripped.production.contains(name), is_production, "{name}");
        assert_eq!(stripped.tests.contains(name), !is_production, "{name}");
    }
    assert_eq!(stripped.test_modules, ["model"]);
}
