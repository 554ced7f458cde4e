//! The pages as a browser gets them, against what they were when a person last read them.
//! `UPDATE_GOLDEN=1 cargo test -p seckill-pages` writes them anew; read the difference.

use std::{env, fs, path::Path, sync::LazyLock};

use seckill_pages::{
    ActivityView, AnswerView, CallGroup, CallView, DocsView, HomeView, MemberView, Money, Page,
    ProblemView, ProductView, SaleView, ShapeView, Stock,
};
use seckill_pages::{
    account, activity, assets, docs, home, not_found, not_yet, order, orders, pay, product,
};
use seckill_pages::{register, reset, sign_in};

const SCRIPT: &str = "</title><script>alert(1)</script>";

fn usd(amount: i64) -> Money {
    Money { amount, currency: "USD".to_owned() }
}

fn lamp() -> ActivityView {
    ActivityView {
        id: "7".to_owned(),
        title: "Midnight lamps".to_owned(),
        product_title: "Reading lamp".to_owned(),
        product_page: Some("3".to_owned()),
        description: "Warm light.\n\nFolds flat & weighs little.".to_owned(),
        image_url: Some("/images/lamp.webp".to_owned()),
        sale_price: usd(1_990),
        list_price: Some(usd(4_900)),
        stock_total: 1_000,
        per_user_limit: 1,
        pay_within_seconds: 900,
        starts_at: 1_795_737_600_000,
        ends_at: 1_795_741_200_000,
    }
}

/// Whatever an operator types must stay text.
fn hostile() -> ActivityView {
    ActivityView {
        id: "8\" onload=\"alert(1)".to_owned(),
        title: SCRIPT.to_owned(),
        product_title: "\"><img src=x onerror=alert(1)>".to_owned(),
        description: format!("{SCRIPT}\n<style>*{{display:none}}</style>"),
        product_page: Some("9\" onload=\"alert(1)".to_owned()),
        image_url: Some("x\" onerror=\"alert(1)".to_owned()),
        list_price: Some(usd(100)),
        ..lamp()
    }
}

/// An API of one call.
fn api() -> DocsView {
    let text = str::to_owned;
    let member = |name, place| MemberView {
        name: text(name),
        place: text(place),
        shape: text("string as `^[0-9]+$`"),
        is_required: place == "path",
    };
    let answer = |status, words, shape: Option<&str>, problems: &[&str]| AnswerView {
        status: text(status),
        text: text(words),
        shape: shape.map(text),
        problems: problems.iter().copied().map(text).collect(),
    };
    let call = CallView {
        id: text("showLamp"),
        method: text("GET"),
        path: text("/api/v1/lamps/{lamp_id}"),
        summary: text("Shows a lamp"),
        description: text("For anyone. It is <bright>."),
        takes: vec![member("lamp_id", "path"), member("limit", "query")],
        body: Some(text("Nothing")),
        answers: vec![
            answer("200", "OK", Some("Lamp"), &[]),
            answer("404", "", None, &["not-found", "internal"]),
        ],
    };
    let shape = |name, members| ShapeView { name: text(name), text: text("A shape"), members };
    let problem = ProblemView {
        slug: text("not-found"),
        status: 404,
        title: text("There is no such thing"),
        when: text("No such thing."),
        remedy: text("Look at the `address`."),
    };
    DocsView {
        about: text("It speaks `JSON`."),
        groups: vec![CallGroup { title: text("All lamps"), calls: vec![call] }],
        shapes: vec![shape("Lamp", vec![member("id", "")]), shape("Nothing", Vec::new())],
        problems: vec![problem.clone(), ProblemView { slug: text("internal"), ..problem }],
        everywhere: vec![text("internal")],
    }
}

fn lamp_itself() -> ProductView {
    let ActivityView { product_title: title, description, image_url, .. } = lamp();
    let sale = SaleView {
        id: "7".to_owned(),
        title: "Midnight lamps".to_owned(),
        price: usd(1_990),
        starts_at: 1_795_737_600_000,
        ends_at: 1_795_741_200_000,
    };
    let (id, price, stock) = ("3".to_owned(), usd(4_900), Stock::Few(2));
    let sales = vec![sale];
    ProductView { id, title, description, image_url, price, stock, sales, later_sales: 0 }
}

fn hostile_itself() -> ProductView {
    let ActivityView { id, product_title, description, image_url, .. } = hostile();
    let sales =
        vec![SaleView { id: id.clone(), title: product_title, ..lamp_itself().sales[0].clone() }];
    ProductView { id, title: SCRIPT.to_owned(), description, image_url, sales, ..lamp_itself() }
}

fn first_page(sales: &[ActivityView]) -> Page {
    home(&HomeView::all(sales)[0])
}

/// Hundreds of sales, each a little different.
fn many_lamps() -> Vec<ActivityView> {
    let sale = |id: u64| ActivityView {
        id: id.to_string(),
        title: format!("Midnight lamps, night {id}"),
        starts_at: lamp().starts_at + id * 3_600_000,
        ..lamp()
    };
    (1..=300).map(sale).collect()
}

/// Every page once: compressing is slow.
static PAGES: LazyLock<Vec<(&'static str, Page)>> = LazyLock::new(|| {
    vec![
        ("home", first_page(&[lamp(), ActivityView { image_url: None, ..lamp() }])),
        ("home_empty", first_page(&[])),
        ("home_hostile", first_page(&[hostile()])),
        ("home_of_many", first_page(&many_lamps())),
        ("home_further", home(&HomeView::all(&many_lamps())[1])),
        ("activity", activity(&lamp())),
        ("activity_hostile", activity(&hostile())),
        ("product", product(&lamp_itself())),
        ("product_alone", product(&ProductView { sales: Vec::new(), ..lamp_itself() })),
        ("product_in_many_sales", product(&ProductView { later_sales: 290, ..lamp_itself() })),
        ("product_hostile", product(&hostile_itself())),
        ("sign_in", sign_in()),
        ("register", register()),
        ("account", account()),
        ("reset", reset()),
        ("orders", orders()),
        ("order", order()),
        ("pay", pay()),
        ("not_found", not_found()),
        ("not_yet", not_yet()),
        ("docs", docs(&api()).compressed()),
    ]
});

fn text(page: &Page) -> String {
    String::from_utf8(page.identity.body.to_vec()).expect("maud writes UTF-8")
}

/// Every tag of a document, without the text between them.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).map(|rest| rest.split_once('>').expect("every tag ends").0).collect()
}

#[test]
fn pages_are_what_they_were() {
    let update = env::var_os("UPDATE_GOLDEN").is_some();
    let assets = assets();
    for (name, page) in PAGES.iter() {
        let mut html = text(page).replace("><", ">\n<");
        // A change of a script is no change of the page.
        for (path, _) in &assets {
            let (stem, _) = path.rsplit_once('-').unwrap();
            let (_, extension) = path.rsplit_once('.').unwrap();
            html = html.replace(path, &format!("{stem}-HASH.{extension}"));
        }
        html.push('\n');
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.html"));
        if update {
            fs::write(&file, &html).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(html, golden, "{name} changed; see the head of this file");
    }
}

#[test]
fn nothing_runs_or_styles_from_within_a_page() {
    for (name, page) in PAGES.iter() {
        for tag in tags(&text(page)) {
            assert!(!tag.starts_with("style"), "{name}: <{tag}>");
            // Inside quotes everything is text.
            let names: String = tag.split('"').step_by(2).collect();
            assert!(!names.contains(" style=") && !names.contains(" on"), "{name}: <{tag}>");
            if tag.starts_with("script") {
                assert!(tag.contains(" src=\"/assets/"), "{name}: <{tag}>");
            }
            if let Some((_, after)) = tag.split_once("href=\"") {
                assert!(after.starts_with(['/', '#']), "{name}: <{tag}>");
            }
        }
    }
}

#[test]
fn hostile_words_stay_words() {
    let home = first_page(&[hostile()]);
    for page in [activity(&hostile()), home, product(&hostile_itself())] {
        let html = text(&page);
        assert!(!html.contains("<script>") && !html.contains("<img src=x"));
        assert!(!html.contains("\" onerror=") && !html.contains("\" onload="));
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert_eq!(html.matches("</title>").count(), 1);
    }
}

#[test]
fn pages_are_small_and_whole() {
    for (name, page) in PAGES.iter() {
        let html = text(page);
        assert!(html.len() < 60_000, "{name}: {} bytes", html.len());
        assert!(html.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{name}");
        assert!(html.ends_with("</html>"), "{name}");
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
        assert_eq!(page.content_type, "text/html; charset=utf-8");
        assert_eq!(page.cache_control, "public, max-age=0, s-maxage=1");
        assert!(page.br.is_some() && page.gzip.is_some(), "{name}");
    }
}

/// What a browser that has nothing yet is sent for a page, its pictures aside.
#[test]
fn a_page_with_all_that_it_needs_is_light() {
    let assets = assets();
    let bytes = |page: &Page| page.br.as_ref().unwrap_or(&page.identity).body.len();
    for (name, page) in PAGES.iter() {
        let html = text(page);
        let needed = assets.iter().filter(|(path, _)| html.contains(path));
        let total = bytes(page) + needed.map(|(_, asset)| bytes(asset)).sum::<usize>();
        assert!(total < 30_000, "{name}: {total} bytes");
    }
}

/// Headings go down one step at a time, and each field of a form has its label.
#[test]
fn pages_can_be_read_aloud() {
    for (name, page) in PAGES.iter() {
        let html = text(page);
        let levels = tags(&html).into_iter().filter_map(|tag| {
            let level = tag.strip_prefix('h')?.chars().next()?.to_digit(10)?;
            Some(level)
        });
        let mut last = 0;
        for level in levels {
            assert!(level <= last + 1, "{name}: h{level} after h{last}");
            last = level;
        }
        assert_eq!(html.matches("<main").count(), 1, "{name}");
        assert!(html.contains("<header"), "{name}");
        for input in tags(&html).iter().filter(|tag| tag.starts_with("input")) {
            let id = input.split_once("id=\"").and_then(|(_, rest)| rest.split_once('"'));
            let (id, _) = id.unwrap_or_else(|| panic!("{name}: <{input}>"));
            assert!(html.contains(&format!("<label for=\"{id}\"")), "{name}: {id}");
        }
        let mut ids: Vec<&str> =
            html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{name}: an id stands twice");
    }
}

#[test]
fn every_place_that_a_page_points_to_is_on_it() {
    for (name, page) in PAGES.iter() {
        let html = text(page);
        for place in html.split("href=\"#").skip(1) {
            let (place, _) = place.split_once('"').unwrap();
            assert_eq!(html.matches(&format!("id=\"{place}\"")).count(), 1, "{name}: {place}");
        }
    }
}

#[test]
fn every_asset_that_a_page_names_is_there() {
    let assets = assets();
    for (name, page) in PAGES.iter() {
        let html = text(page);
        let named = html.split('"').filter(|value| value.starts_with("/assets/"));
        for path in named {
            assert!(assets.iter().any(|(asset, _)| asset == path), "{name}: {path}");
        }
    }
}
