//! `--report`: pages that need nothing but themselves. Where a headless Chromium is installed (`chromium` on the path, or the
//! path in `SUBBAND_CHROMIUM`) it opens them, sorts a table and must have nothing to complain of.

mod common;

use std::process::Command;

use common::{Folder, f32_bytes, map, safetensors};

const HOSTILE: &str = "<img src=x onerror=alert(1)>&'";

fn page(folder: &Folder) -> String {
    let bytes = f32_bytes(&map(&[3, 16, 16]));
    folder.write("maps.safetensors", &safetensors("{}", &[(HOSTILE, "F32", &[3, 16, 16], bytes)]));
    let args = ["compare", "maps.safetensors", "--step", "0.25", "--repeats", "1", "--no-peak"];
    folder.ok(&[&args[..], &["--only", "memcpy,subband,zstd", "--report", "page.html"]].concat());
    String::from_utf8(folder.read("page.html")).unwrap()
}

#[test]
fn a_page_is_whole_and_harmless() {
    let folder = Folder::new();
    let page = page(&folder);
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{page}");
    assert!(!page.contains("<img src=x") && page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{page}");
    // An SVG's name space is no request.
    let rest = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!rest.contains("http://") && !rest.contains("https://"), "{page}");
    assert!(page.contains("--only memcpy,subband,zstd"), "the command is on it: {page}");
    // The same file again: a report may be overwritten.
    self::page(&folder);
    let error = folder.fails(1, &["compare", "maps.safetensors", "--step", "1", "--report", "-", "--json", "-"]);
    assert!(error.contains("standard output"), "{error}");
}

#[test]
fn a_browser_opens_and_sorts_it() {
    let chromium = std::env::var("SUBBAND_CHROMIUM").unwrap_or_else(|_| "chromium".into());
    if Command::new(&chromium).arg("--version").output().is_err() {
        eprintln!("skipped: {chromium} is not installed");
        return;
    }
    let folder = Folder::new();
    // After the page's own script: sort by ratio, the sixth column of the first table.
    let click = "<script>document.querySelectorAll('th')[5].click()</script></body>";
    folder.write("page2.html", page(&folder).replace("</body>", click).as_bytes());
    let output = Command::new(&chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path("browser").display()))
        .arg(folder.path("page2.html"))
        .output()
        .unwrap();
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}");
    assert!(!log.contains("CONSOLE"), "{log}");
    assert!(dom.contains("aria-sort=\"descending\""), "{dom}");
    let table = &dom[dom.find("<tbody>").unwrap()..dom.find("</tbody>").unwrap()];
    let ratios: Vec<f64> = table
        .split("<tr>")
        .skip(1)
        .map(|row| {
            let cell = row.split("<td").nth(6).unwrap();
            cell.split("data-value=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        })
        .collect();
    assert!(ratios.len() > 3 && ratios.is_sorted_by(|a, b| a >= b), "{ratios:?}");
}
