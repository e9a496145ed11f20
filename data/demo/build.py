"""Makes the demo's data from packages of the Python package index. Run once; the results are committed.

    python -m venv /tmp/demo-data && /tmp/demo-data/bin/pip install plotly==5.24.1 bokeh-sampledata==2026.1 pandas
    /tmp/demo-data/bin/python data/demo/build.py

Sources and licences:
- `countries.json`, `../input.csv`: Gapminder's figures (life expectancy, population, GDP per person; 142 countries,
  1952 to 2007) as plotly 5.24.1 ships them (`package_data/datasets/gapminder.csv.gz`, package under the MIT licence).
  Free material from www.gapminder.org, CC BY 4.0. Plotly gives North Korea the codes of South Korea (KOR, 410); here
  it has its own, PRK and 408 (ISO 3166-1).
- `prices.json`, `../symbols.csv`: the last 100 trading days up to 2013-03-01 of five US stocks as bokeh-sampledata
  2026.1 ships them (`stocks`), from Quandl's WIKI prices, which Quandl declared public domain.
"""

import csv
import gzip
import json
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).resolve().parent
NORTH_KOREA = {"iso_alpha": "PRK", "iso_num": "408"}
NAMES = {"AAPL": "Apple", "FB": "Facebook", "GOOG": "Google", "IBM": "IBM", "MSFT": "Microsoft"}
DAYS = 100


def countries() -> dict[str, dict]:
    """ISO 3166-1 numeric code (three digits) -> what the demo API answers."""
    packed = files("plotly") / "package_data" / "datasets" / "gapminder.csv.gz"
    found: dict[str, dict] = {}
    with gzip.open(packed.open("rb"), "rt", encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            if row["country"] == "Korea, Dem. Rep.":
                row |= NORTH_KOREA
            code = row["iso_num"].zfill(3)
            country = found.setdefault(
                code,
                {"code": code, "iso_alpha": row["iso_alpha"], "name": row["country"], "continent": row["continent"]},
            )
            figures = {
                "year": int(row["year"]),
                "population": int(row["pop"]),
                "life_expectancy": float(row["lifeExp"]),
                "gdp_per_capita": round(float(row["gdpPercap"]), 2),
            }
            country["latest"] = figures  # the rows of a country come in the order of their years
            country.setdefault("population_by_year", {})[row["year"]] = figures["population"]
    return found


def prices() -> dict[str, dict]:
    """Symbol -> date -> the figures, as texts with the names that Alpha Vantage gives them."""
    from bokeh_sampledata import stocks

    found = {}
    for symbol in NAMES:
        data = getattr(stocks, symbol)
        columns = zip(data["date"], data["open"], data["high"], data["low"], data["close"], data["volume"], strict=True)
        found[symbol] = {
            str(day)[:10]: {
                "1. open": f"{opening:.4f}",
                "2. high": f"{high:.4f}",
                "3. low": f"{low:.4f}",
                "4. close": f"{close:.4f}",
                "5. volume": str(int(volume)),
            }
            for day, opening, high, low, close, volume in sorted(columns, reverse=True)[:DAYS]
        }
    return found


def write_json(path: Path, value: object) -> None:
    """One line an entry: small, and readable in a diff."""
    lines = [f"{json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def write_csv(path: Path, header: list[str], rows: list[list[str]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    found = countries()
    assert len(found) == 142, len(found)
    write_json(HERE / "countries.json", found)
    write_csv(HERE.parent / "input.csv", ["id", "country"], [[code, found[code]["name"]] for code in sorted(found)])
    write_json(HERE / "prices.json", prices())
    write_csv(HERE.parent / "symbols.csv", ["symbol", "company"], [[s, NAMES[s]] for s in sorted(NAMES)], delimiter=";")
