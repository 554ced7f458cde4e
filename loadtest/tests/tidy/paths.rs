//! The paths that code names: `use` trees taken apart, and `a::b::c` written out in place.
//!
//! It knows the grammar of paths. It must not know which of them are allowed.

/// A path where it was named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    /// From 1.
    pub(crate) line: usize,
    /// Inline modules around it, outermost first.
    pub(crate) within: Vec<String>,
    /// Its segments as written, `crate` and `super` among them.
    pub(crate) segments: Vec<String>,
}

/// A name, `::`, or a single character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token<'a> {
    /// From 1.
    pub(crate) line: usize,
    /// What it is.
    pub(crate) text: &'a str,
}

/// The tokens of stripped code.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut tokens = Vec::new();
    for (index, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                _ if is_name(first) => rest.find(|char| !is_name(char)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            tokens.push(Token { line: index + 1, text: &rest[..length] });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// Every path that stripped code names.
pub(crate) fn paths(code: &str) -> Vec<Named> {
    let mut reader =
        Reader { tokens: tokens(code), at: 0, within: Vec::new(), depth: 0, found: Vec::new() };
    while reader.at < reader.tokens.len() {
        reader.step();
    }
    reader.found
}

struct Reader<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    /// Inline modules that are open, each with the depth of its braces.
    within: Vec<(String, usize)>,
    depth: usize,
    found: Vec<Named>,
}

impl Reader<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn is_name(&self, at: usize) -> bool {
        self.text(at).starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
    }

    fn step(&mut self) {
        let before = self.at.checked_sub(1).map_or("", |before| self.text(before));
        let continues = matches!(before, "::" | "." | "'");
        match self.text(self.at) {
            "{" => self.depth += 1,
            "}" => self.close_brace(),
            "mod" if self.text(self.at + 2) == "{" => {
                self.within.push((self.text(self.at + 1).to_owned(), self.depth));
            }
            // `+ use<'a>` names captured lifetimes, not a path.
            "use" if self.text(self.at + 1) != "<" => {
                self.at += 1;
                return self.tree(&[]);
            }
            _ if self.is_name(self.at) && !continues => return self.path(),
            _ => {}
        }
        self.at += 1;
    }

    fn close_brace(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.within.retain(|(_, depth)| *depth < self.depth);
    }

    /// One branch of a `use` tree, from here to its comma, brace or semicolon.
    fn tree(&mut self, before: &[String]) {
        let mut segments = before.to_vec();
        loop {
            match self.text(self.at) {
                "" | ";" | "," | "}" => break,
                "::" => {}
                "{" => return self.branches(&segments),
                // The end of a path that is named already: a glob, or the module itself.
                "*" => {}
                "self" if !segments.is_empty() => {}
                "as" => self.at += 1,
                name => segments.push(name.to_owned()),
            }
            self.at += 1;
        }
        self.name(self.at.saturating_sub(1), segments);
    }

    fn branches(&mut self, segments: &[String]) {
        while !matches!(self.text(self.at), "" | "}" | ";") {
            self.at += 1;
            if !matches!(self.text(self.at), "," | "}") {
                self.tree(segments);
            }
        }
        self.at += 1;
    }

    fn path(&mut self) {
        let begin = self.at;
        let mut segments = vec![self.text(begin).to_owned()];
        self.at += 1;
        while self.text(self.at) == "::" && self.is_name(self.at + 1) {
            segments.push(self.text(self.at + 1).to_owned());
            self.at += 2;
        }
        if segments.len() > 1 {
            self.name(begin, segments);
        }
    }

    fn name(&mut self, at: usize, segments: Vec<String>) {
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        let within = self.within.iter().map(|(name, _)| name.clone()).collect();
        self.found.push(Named { line, within, segments });
    }
}

#[cfg(test)]
fn written(code: &str) -> Vec<String> {
    paths(code).iter().map(|named| named.segments.join("::")).collect()
}

#[test]
fn use_trees_come_apart() {
    let code = "use a::b;\npub(crate) use crate::{c, d::{self, e as f, g::*},\n h::{i}};\nuse ::j::k as l; fn m() {}";
    let expected =
        ["a::b", "crate::c", "crate::d", "crate::d::e", "crate::d::g", "crate::h::i", "j::k"];
    assert_eq!(written(code), expected);
}

#[test]
fn paths_in_place_are_found() {
    let code = "fn a(b: &crate::c::D) -> impl E + use<'_> { x.f(g::h(), <I as super::j::K>::L); $crate::m!(n) }";
    assert_eq!(written(code), ["crate::c::D", "g::h", "super::j::K", "crate::m"]);
}

#[test]
fn inline_modules_are_known() {
    let found = paths("mod a { mod b { use super::x; } use super::y; }\nuse super::z;");
    let within: Vec<usize> = found.iter().map(|named| named.within.len()).collect();
    assert_eq!(within, [2, 1, 0]);
    assert_eq!(found[2].line, 2);
}
