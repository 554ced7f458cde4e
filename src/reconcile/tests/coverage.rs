//! Every branch of the functions: counted, and broken.
//!
//! A counted text tells which conditions were true and false, which loops ran, which functions were
//! called. A broken one has one condition that is always true, or never. It knows how the functions
//! are written, one statement a line and a condition on one line; it must not know what they do.

use std::collections::BTreeSet;

use crate::reconcile::library;

/// The function that tells which branches were taken.
pub(super) const REPORT: &str = "seckill_leases_v1_report";

/// Goes behind the line with the library's name.
const COUNTERS: &str = "local TAKEN = {}
local function taken(line) TAKEN[line] = true end
local function whether(line, value)
  if value then taken(line .. ' true') else taken(line .. ' false') end
  return value
end";

/// Goes behind the last line.
const TELLER: &str = "redis.register_function('seckill_leases_v1_report', function()
  local lines = {}
  for line in pairs(TAKEN) do table.insert(lines, line) end
  return lines
end)";

/// A condition, or one of several that `and` and `or` join.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Operand {
    /// From 0.
    line: usize,
    /// Where it is in its line.
    begin: usize,
    end: usize,
    /// Its line, from 1, and its number in it.
    name: String,
}

/// The shipped text with counters, and the names of all branches.
pub(super) fn counted() -> (&'static str, BTreeSet<String>) {
    let mut lines: Vec<String> = library::TEXT.lines().map(str::to_owned).collect();
    let mut branches = BTreeSet::new();
    // From the end, so that what comes before stays where it is.
    for operand in operands(library::TEXT).iter().rev() {
        let Operand { line, begin, end, name } = operand;
        let counted = format!("whether('{name}', {})", &lines[*line][*begin..*end]);
        lines[*line].replace_range(*begin..*end, &counted);
        branches.extend([format!("{name} true"), format!("{name} false")]);
    }
    for (index, line) in lines.iter_mut().enumerate() {
        let code = line.trim_start().to_owned();
        if code.starts_with("for ") || code.starts_with("local function ") {
            assert!(line.ends_with(" do") || line.ends_with(')'), "it goes on: {line}");
            line.push_str(&format!(" taken('{}')", index + 1));
            branches.insert((index + 1).to_string());
        }
        assert!(!code.starts_with("while ") && !code.starts_with("repeat"), "not counted: {line}");
    }
    lines.insert(1, COUNTERS.to_owned());
    lines.push(TELLER.to_owned());
    (lines.join("\n").leak(), branches)
}

/// The shipped text with one operand of a condition always true or never: what, and the text.
pub(super) fn broken() -> Vec<(String, String)> {
    let lines: Vec<&str> = library::TEXT.lines().collect();
    let mut broken = Vec::new();
    for Operand { line, begin, end, name } in operands(library::TEXT) {
        for instead in ["true", "false"] {
            let (before, behind) = (&lines[line][..begin], &lines[line][end..]);
            let mut text = lines.clone();
            let changed = format!("{before}{instead}{behind}");
            text[line] = &changed;
            let what = format!("{name} {instead}: {}", lines[line].trim());
            broken.push((what, text.join("\n")));
        }
    }
    broken
}

fn operands(text: &str) -> Vec<Operand> {
    let mut operands = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let code = line.trim_start();
        assert!(!code.starts_with("elseif "), "line {}: not counted", index + 1);
        if let Some(condition) = code.strip_prefix("if ") {
            let end = condition.strip_suffix(" then");
            let end = end.unwrap_or_else(|| panic!("it goes on: {line}")).len();
            let begin = line.len() - condition.len();
            operands.extend(operands_of(line, begin, begin + end, index));
        }
    }
    operands
}

fn operands_of(text: &str, begin: usize, end: usize, line: usize) -> Vec<Operand> {
    let mut operands = Vec::new();
    let mut at = begin;
    while at < end {
        let rest = &text[at..end];
        let joints = [" and ", " or "].into_iter();
        let joint = joints.filter_map(|it| Some((rest.find(it)?, it.len()))).min();
        let (length, joint) = joint.unwrap_or((rest.len(), 0));
        let operand = &rest[..length];
        // Parentheses around several operands stay outside of each.
        let (opened, closed) = (operand.matches('(').count(), operand.matches(')').count());
        operands.push(Operand {
            line,
            begin: at + opened.saturating_sub(closed),
            end: at + length - closed.saturating_sub(opened),
            name: format!("{}.{}", line + 1, operands.len()),
        });
        at += length + joint;
    }
    operands
}

#[test]
fn operands_are_told_apart() {
    let text = "  if (a and f(b) == 0) or not c then\n  end\n  if d then";
    let lines: Vec<&str> = text.lines().collect();
    let found: Vec<&str> =
        operands(text).iter().map(|it| &lines[it.line][it.begin..it.end]).collect();
    assert_eq!(found, ["a", "f(b) == 0", "not c", "d"]);
}

#[test]
fn counters_are_called_by_the_right_names() {
    let (text, branches) = counted();
    assert!(branches.len() > 100);
    assert!(TELLER.contains(REPORT) && text.ends_with(TELLER));
}
