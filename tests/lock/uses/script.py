import sys

import attrs
import click
import requests


@attrs.define
class Point:
    x: int
    y: int = 2


@click.command()
@click.argument("number", type=int)
def main(number: int) -> None:
    prepared = requests.Request("GET", "http://h.invalid/", params={"q": "ü"}).prepare()
    click.echo(f"{Point(number)} {prepared.url}")
    sys.exit(5)


main(["1"])
