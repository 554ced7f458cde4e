//! The page of the API: its calls, the shapes of what they take and answer, and every problem.
//! It must not know which calls there are, nor how they are told to programs.

use maud::{Markup, html};

use crate::{
    layout::{Shell, document},
    prerender::{self, Page},
};

/// What the page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocsView {
    /// What holds for every call.
    pub about: String,
    /// The calls, by subject.
    pub groups: Vec<CallGroup>,
    /// What is sent and answered.
    pub shapes: Vec<ShapeView>,
    /// Every way to say no.
    pub problems: Vec<ProblemView>,
    /// Slugs of the problems that any call may answer.
    pub everywhere: Vec<String>,
}

/// Calls of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallGroup {
    /// Its heading.
    pub title: String,
    /// Its calls.
    pub calls: Vec<CallView>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallView {
    /// Its name for programs.
    pub id: String,
    /// For example `POST`.
    pub method: String,
    /// With names in braces.
    pub path: String,
    /// One line.
    pub summary: String,
    /// More than that; `code` is in backticks.
    pub description: String,
    /// Parameters: in the path, the query and headers.
    pub takes: Vec<MemberView>,
    /// The name of its body's shape.
    pub body: Option<String>,
    /// By status.
    pub answers: Vec<AnswerView>,
}

/// A parameter, or a member of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// As it is sent.
    pub name: String,
    /// `path`, `query`, `header`; empty in a shape.
    pub place: String,
    /// In words.
    pub shape: String,
    /// Whether it is always there.
    pub is_required: bool,
}

/// What is answered with one status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerView {
    /// For example `201`.
    pub status: String,
    /// In words, where it is no problem.
    pub text: String,
    /// The name of its shape.
    pub shape: Option<String>,
    /// Slugs.
    pub problems: Vec<String>,
}

/// A named shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeView {
    /// Its name.
    pub name: String,
    /// What it is.
    pub text: String,
    /// Where it is an object.
    pub members: Vec<MemberView>,
}

/// A way to say no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemView {
    /// After `urn:seckill:`.
    pub slug: String,
    /// The status it comes with.
    pub status: u16,
    /// What a person reads first.
    pub title: String,
    /// When it comes.
    pub when: String,
    /// What to do about it.
    pub remedy: String,
}

/// The page of the API, as it is: it is large, so [`Page::compressed`] is for later.
#[must_use]
pub fn docs(view: &DocsView) -> Page {
    prerender::plain_html(markup(view))
}

fn markup(view: &DocsView) -> Markup {
    let shell = Shell {
        title: "The API",
        description: "Every call of this shop's API, and every problem that it answers with.",
        sheet: Some("docs.css"),
        script: None,
    };
    let main = html! {
        h1 { "The API" }
        div.description { p { (prose(&view.about)) } }
        p { "For programs: " a href="/api/v1/openapi.json" { "OpenAPI 3.1" } }
        (contents(view))
        @for group in &view.groups {
            section.calls id=(anchor("calls", &group.title)) {
                h2 { (group.title) }
                @for call in &group.calls { (article(call)) }
            }
        }
        section.calls #shapes {
            h2 { "Shapes" }
            @for shape in &view.shapes { (section(shape)) }
        }
        section.calls #problems {
            h2 { "Problems" }
            p { "Any call may answer " (slugs(&view.everywhere)) "." }
            @for problem in &view.problems { (explained(problem)) }
        }
    };
    document(&shell, &main)
}

fn contents(view: &DocsView) -> Markup {
    html! {
        nav.choices aria-label="On this page" {
            @for group in &view.groups {
                a href={ "#" (anchor("calls", &group.title)) } { (group.title) }
            }
            a href="#shapes" { "Shapes" }
            a href="#problems" { "Problems" }
        }
    }
}

fn article(call: &CallView) -> Markup {
    html! {
        article.panel id=(anchor("call", &call.id)) {
            h3 { code { (call.method) } " " code { (call.path) } }
            p { strong { (call.summary) } }
            p.hint { (prose(&call.description)) }
            @if !call.takes.is_empty() || call.body.is_some() {
                dl.facts {
                    @for member in &call.takes { (row(member)) }
                    @if let Some(body) = &call.body { div { dt { "body" } dd { (reference(body)) } } }
                }
            }
            dl.facts {
                @for answer in &call.answers {
                    div {
                        dt { (answer.status) }
                        dd {
                            (answer.text)
                            @if let Some(shape) = &answer.shape { ": " (reference(shape)) }
                            (slugs(&answer.problems))
                        }
                    }
                }
            }
        }
    }
}

fn row(member: &MemberView) -> Markup {
    html! {
        div {
            dt {
                code { (member.name) }
                @if !member.is_required { ", optional" }
                @if !member.place.is_empty() { " (" (member.place) ")" }
            }
            dd { (prose(&member.shape)) }
        }
    }
}

fn section(shape: &ShapeView) -> Markup {
    html! {
        article.panel id=(anchor("shape", &shape.name)) {
            h3 { (shape.name) }
            @if !shape.text.is_empty() { p.hint { (prose(&shape.text)) } }
            @if !shape.members.is_empty() {
                dl.facts { @for member in &shape.members { (row(member)) } }
            }
        }
    }
}

fn explained(problem: &ProblemView) -> Markup {
    html! {
        article.panel id=(anchor("problem", &problem.slug)) {
            h3 { code { (problem.slug) } " " span.hint { (problem.status) } }
            p { strong { (problem.title) } }
            p { (problem.when) }
            p { (prose(&problem.remedy)) }
        }
    }
}

fn reference(shape: &str) -> Markup {
    html! { a href={ "#" (anchor("shape", shape)) } { (shape) } }
}

fn slugs(slugs: &[String]) -> Markup {
    html! {
        @for (index, slug) in slugs.iter().enumerate() {
            @if index > 0 { ", " }
            a href={ "#" (anchor("problem", slug)) } { (slug) }
        }
    }
}

/// The name of a place on the page.
fn anchor(kind: &str, name: &str) -> String {
    format!("{kind}-{}", name.replace(' ', "-"))
}

/// Text in which code is between backticks.
fn prose(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
