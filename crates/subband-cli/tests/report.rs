//! `--report`: pages that need nothing but themselves. Where a headless Chromium is installed (`chromium` on the path, or the
//! path in `SUBBAND_CHROMIUM`) it opens them, sorts a table and must have nothing to complain of.

mod common;
#[path = "../../subband-onnx/tests/common/mod.rs"]
mod small;

use std::process::Command;

use common::{Folder, f32_bytes, map, npy_f32, onnx, safetensors};

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
fn an_onnx_model_has_a_page_with_pictures() {
    let folder = Folder::new();
    folder.write("net.onnx", &onnx::small(HOSTILE));
    folder.write("in.npy", &npy_f32(&[3, 3, 16, 16], &map(&[3, 3, 16, 16])));
    let model = ["--model", "net.onnx", "--data", "in.npy"];
    folder.calibrate_small("2");
    let eval =
        |more: &[&'static str]| [&["eval", "--profile", "p.sbp", "--report", "page.html"], &model[..], more].concat();
    folder.ok(&eval(&["--pictures", "all", "--picture-image", "2", "--plots", "plots"]));
    assert!(folder.read("plots/where-the-bits-go-1.svg").starts_with(b"<svg"));
    assert!(folder.read("plots/maps-2.png").starts_with(b"\x89PNG"));
    let page = String::from_utf8(folder.read("page.html")).unwrap();
    assert_eq!(page.matches("data:image/png;base64,").count(), 2);
    assert!(page.contains("net, input 2, r2: 4x16x16") && !page.contains("<img src=x"), "{page}");
    assert!(folder.fails(1, &eval(&["--pictures", "r9"])).contains("no tap 'r9'"));
    assert!(folder.fails(1, &eval(&["--picture-image", "3"])).contains("there are 3 images"));
}

/// The page of a tuning of a small network whose first tap has a hostile name.
fn tuning_page(folder: &Folder) -> String {
    folder.write("net.onnx", &small::model_named(None, HOSTILE));
    let [c, h, w] = small::INPUT;
    folder.write("in.npy", &npy_f32(&[40, c, h, w], &small::inputs(40)));
    let args = ["tune", "net.onnx", "--data", "in.npy", "--taps", "relu", "--max-kl", "0.01", "--search-images", "6"];
    folder.ok(&[&args[..], &["-o", "p.sbp", "--force", "--report", "tune.html", "--plots", "plots"]].concat());
    String::from_utf8(folder.read("tune.html")).unwrap()
}

#[test]
fn a_tuning_has_a_page_and_a_plot() {
    let folder = Folder::new();
    let page = tuning_page(&folder);
    assert!(!page.contains("<img src=x") && page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{page}");
    for text in
        ["Rate against the budget", "How each tap is coded", "What was tried at each tap", "one rule", "SHA-256"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    // The settings of the search and of the rule, and the budget.
    for text in ["as suits each tap", "one step scale", "KL divergence, nats"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let plot = String::from_utf8(folder.read("plots/rate-against-the-budget-1.svg")).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains("this profile") && plot.matches("<circle").count() > 6, "{plot}");
    let args = ["tune", "net.onnx", "--data", "in.npy", "--max-kl", "1", "-o", "-", "--report", "-"];
    assert!(folder.fails(1, &args).contains("standard output"));
}

/// Opens a page after a click on a head of its first table; what the browser says of it must be nothing.
fn browse(chromium: &str, folder: &Folder, page: &str, head: usize) -> String {
    let click = format!("<script>document.querySelectorAll('th')[{head}].click()</script></body>");
    folder.write("page2.html", page.replace("</body>", &click).as_bytes());
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path("browser").display()))
        .arg(folder.path("page2.html"))
        .output()
        .unwrap();
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}");
    assert!(!log.contains("CONSOLE"), "{log}");
    assert!(dom.contains("aria-sort=\"descending\""), "{dom}");
    dom.into_owned()
}

#[test]
fn a_browser_opens_and_sorts_it() {
    let chromium = std::env::var("SUBBAND_CHROMIUM").unwrap_or_else(|_| "chromium".into());
    if Command::new(&chromium).arg("--version").output().is_err() {
        eprintln!("skipped: {chromium} is not installed");
        return;
    }
    let folder = Folder::new();
    folder.ok(&["cost", "--network", "resnet20", "--accelerator", "eyeriss", "--report", "cost.html", "-q"]);
    let cost = String::from_utf8(folder.read("cost.html")).unwrap();
    // By DRAM bytes.
    assert!(browse(&chromium, &folder, &cost, 2).contains("layer3.2.conv2"));
    // By bits, of the settings that were tried: the first table.
    let dom = browse(&chromium, &folder, &tuning_page(&folder), 2);
    let bits = column(&dom, 2);
    assert!(bits.len() > 6 && bits.is_sorted_by(|a, b| a >= b), "{bits:?}");
    // After the page's own script: sort by ratio, the sixth column of the first table.
    let dom = browse(&chromium, &folder, &page(&folder), 5);
    let ratios = column(&dom, 5);
    assert!(ratios.len() > 3 && ratios.is_sorted_by(|a, b| a >= b), "{ratios:?}");
}

/// The numbers of a column of the first table.
fn column(dom: &str, number: usize) -> Vec<f64> {
    let table = &dom[dom.find("<tbody>").unwrap()..dom.find("</tbody>").unwrap()];
    let cell = |row: &str| {
        let cell = row.split("<td").nth(number + 1).unwrap();
        cell.split("data-value=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    table.split("<tr>").skip(1).map(cell).collect()
}
