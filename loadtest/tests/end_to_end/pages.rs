//! The pages as files: what a gateway serves from memory, for a web server that has none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use seckill_loadtest::client::{Client, Request};
use seckill_loadtest::gateway::{Gateway, Scratch, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::provider;
use seckill_loadtest::shop::{Sale, Shop};

/// Every file below a folder, by its name from there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

/// The path that a file is of, and in which encoding.
fn path_of(file: &str) -> (String, Option<&'static str>) {
    let (file, encoding) = match (file.strip_suffix(".gz"), file.strip_suffix(".br")) {
        (Some(file), _) => (file, Some("gzip")),
        (_, Some(file)) => (file, Some("br")),
        _ => (file, None),
    };
    let path = match file {
        "index.html" => "/".to_owned(),
        "404.html" => "/nowhere".to_owned(),
        "orders/shell.html" | "pay/shell.html" => {
            format!("/{}7", file.trim_end_matches("shell.html"))
        }
        file => format!("/{}", file.strip_suffix("/index.html").unwrap_or(file)),
    };
    (path, encoding)
}

/// What the gateway answers for a path, in just this encoding; none where it has another.
fn served(client: &mut Client, path: &str, encoding: Option<&str>) -> Option<Vec<u8>> {
    let wanted = encoding.unwrap_or("identity");
    let request = Request::new("GET", path).header("accept", "text/html, */*");
    let page = client.send(request.header("accept-encoding", wanted));
    assert!(page.status == 200 || path == "/nowhere", "{path}: {}", page.status);
    (page.header("content-encoding") == encoding).then_some(page.body)
}

fn export(gateway: &Gateway, out: &Path) -> String {
    gateway
        .run_with(
            &["pages", "export", "--out", out.to_str().unwrap()],
            &[("SECKILL_PAYMENT_PROVIDER", "sandbox")],
        )
        .expect(0)
}

#[test]
fn exported_pages_are_those_that_the_gateway_serves() {
    let gateway = provider::gateway(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let product = shop.product(50);
    let [live, over, draft] = [5, 4, 3].map(|stock| shop.draft(&product, Sale::of(stock)));
    for (sale, step) in [(&live, "publish"), (&over, "publish"), (&over, "end")] {
        shop.step(sale, step);
    }
    let place = Scratch::new();
    let out = place.path().join("pages");
    // The store has a step a moment after its answer, pages follow what changes, and the document is
    // compressed behind the start.
    let mut client = Client::new(gateway.address());
    let exported = until("the pages are those that are served", GENEROUS, || {
        assert!(export(&gateway, &out).contains("files were written"));
        let exported = files(&out);
        let is_served = exported.iter().all(|(file, bytes)| {
            let (path, encoding) = path_of(file);
            served(&mut client, &path, encoding).is_some_and(|served| served == *bytes)
        });
        is_served.then_some(exported)
    });
    let page = |sale: &str| format!("activities/{sale}/index.html");
    for file in [page(&live), page(&over), format!("products/{product}/index.html")] {
        assert!(exported.contains_key(&file), "{file}");
    }
    for file in ["index.html", "sign-in/index.html.br", "404.html.gz", "api/v1/openapi.json.br"] {
        assert!(exported.contains_key(file), "{file}");
    }
    assert!(!exported.contains_key(&page(&draft)));

    // What is there is left as it is, and what changes takes its place.
    let changed = |file: &str| fs::metadata(out.join(file)).unwrap().modified().unwrap();
    let before = changed("sign-in/index.html");
    for (file, text) in [("note.txt", "mine"), ("index.html", "torn")] {
        fs::write(out.join(file), text).unwrap();
    }
    assert!(export(&gateway, &out).ends_with(": 1 files were written\n"));
    assert_eq!(changed("sign-in/index.html"), before);
    let mut again = files(&out);
    assert_eq!(again.remove("note.txt").unwrap(), b"mine");
    assert!(again == exported);
}

#[test]
fn what_cannot_be_exported_is_said() {
    let gateway = Gateway::start(Start::cores(1));
    let place = Scratch::new();
    let out: PathBuf = place.path().join("pages");
    let out = out.to_str().unwrap();
    let elsewhere = place.path().join("elsewhere");
    gateway
        .run_on(&elsewhere, &["pages", "export", "--out", out], &[])
        .refused("there is no store");
    assert!(!fs::exists(out).unwrap());
    fs::write(out, "a file").unwrap();
    let ended = gateway.run(&["pages", "export", "--out", out]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot be written"), "{}", ended.stderr);
}
