//! A page: facts, then sections of tables, charts and pictures. Every text is escaped: names come from files that others made.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::output;

/// A whole report.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub title: String,
    /// Names and values on top: what was found, in short.
    pub facts: Vec<(String, String)>,
    pub sections: Vec<Section>,
    /// Names and values at the end: what made the page.
    pub provenance: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct Section {
    pub heading: String,
    /// What the reader must know to read it right; may be empty.
    pub note: String,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
pub enum Block {
    Table(Table),
    /// A paragraph.
    Text(String),
    /// The text of an SVG file, made by this program.
    Chart(String),
    Picture {
        png: Vec<u8>,
        caption: String,
    },
}

/// A table that sorts by the column whose head is clicked.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
    /// Below the rows, never sorted.
    pub foot: Option<Vec<Cell>>,
}

/// A text, and the number it stands for if it is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub text: String,
    pub number: Option<f64>,
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), number: None }
    }

    pub fn number(number: f64, text: impl Into<String>) -> Self {
        Self { text: text.into(), number: Some(number) }
    }
}

impl Page {
    /// The HTML.
    pub fn render(&self) -> String {
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    // Whatever a name may smuggle in: nothing is fetched, and no script but the one below runs.
                    meta http-equiv="Content-Security-Policy"
                        content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
                    // Browsers ask for one otherwise.
                    link rel="icon" href="data:,";
                    title { (self.title) }
                    style { (PreEscaped(include_str!("style.css"))) }
                }
                body {
                    main {
                        h1 { (self.title) }
                        (facts(&self.facts))
                        @for section in &self.sections {
                            section {
                                h2 { (section.heading) }
                                @if !section.note.is_empty() { p { (section.note) } }
                                @for block in &section.blocks { (block.markup()) }
                            }
                        }
                        section {
                            h2 { "What made this page" }
                            (facts(&self.provenance))
                        }
                    }
                    script { (PreEscaped(include_str!("sort.js"))) }
                }
            }
        };
        markup.into_string()
    }

    pub fn write(&self, output: &mut impl Write) -> Result<()> {
        output.write_all(self.render().as_bytes()).context("cannot write the report")
    }

    /// Writes charts and pictures to `folder` too, if there is one: SVG and PNG files named by their sections.
    pub fn write_plots(&self, folder: Option<&Path>) -> Result<()> {
        let Some(folder) = folder else { return Ok(()) };
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for section in &self.sections {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
            let name: String = section.heading.chars().map(plain).collect();
            let plots = section.blocks.iter().filter_map(|block| match block {
                Block::Chart(svg) => Some((svg.as_bytes(), "svg")),
                Block::Picture { png, .. } => Some((png.as_slice(), "png")),
                Block::Table(_) | Block::Text(_) => None,
            });
            for (number, (bytes, ending)) in plots.enumerate() {
                output::replace(&folder.join(format!("{name}-{}.{ending}", number + 1)), bytes)?;
            }
        }
        Ok(())
    }
}

fn facts(facts: &[(String, String)]) -> Markup {
    html! { dl { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
}

impl Block {
    fn markup(&self) -> Markup {
        match self {
            Self::Table(table) => table.markup(),
            Self::Text(text) => html! { p { (text) } },
            Self::Chart(svg) => html! { figure class="chart" { (PreEscaped(svg)) } },
            Self::Picture { png, caption } => html! {
                figure {
                    img src=(format!("data:image/png;base64,{}", STANDARD.encode(png))) alt=(caption);
                    figcaption { (caption) }
                }
            },
        }
    }
}

impl Table {
    fn markup(&self) -> Markup {
        let cell = |cell: &Cell| match cell.number {
            Some(number) => html! { td class="number" data-value=(number) { (cell.text) } },
            None => html! { td { (cell.text) } },
        };
        html! {
            div class="table" {
                table {
                    thead { tr { @for head in &self.head { th scope="col" { button type="button" { (head) } } } } }
                    tbody { @for row in &self.rows { tr { @for one in row { (cell(one)) } } } }
                    @if let Some(foot) = &self.foot { tfoot { tr { @for one in foot { (cell(one)) } } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_text() {
        let name = "<script>alert(\"1\")</script>&'";
        let table = Table {
            head: vec![name.into()],
            rows: vec![vec![Cell::text(name), Cell::number(1.5, name)]],
            foot: Some(vec![Cell::text(name)]),
        };
        let page = Page {
            title: name.into(),
            facts: vec![(name.into(), name.into())],
            sections: vec![Section {
                heading: name.into(),
                note: name.into(),
                blocks: vec![Block::Table(table), Block::Picture { png: vec![1, 2, 3], caption: name.into() }],
            }],
            provenance: vec![(name.into(), name.into())],
        };
        let text = page.render();
        // The page's own.
        assert_eq!(text.matches("<script>").count(), 1, "{text}");
        assert_eq!(text.matches("&lt;script&gt;").count(), 14, "{text}");
        assert!(text.contains("data-value=\"1.5\"") && text.contains("data:image/png;base64,AQID"), "{text}");
    }

    #[test]
    fn nothing_is_fetched() {
        let text = Page::default().render();
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("src=\"/"), "{text}");
    }
}
