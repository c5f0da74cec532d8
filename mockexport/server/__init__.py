"""The mock export server: three synthetic exports, or a folder of files, behind the export API.

    exports       what defines the exports; ids, times and patients follow from it
    generation    the rows of a generated download, piece by piece: the reference; _generator.pyx is its compiled twin
    bodies        their lengths and digests, as a table that `lengths` checks
    folder        the same exports written to a folder of files
    catalogue     what a server offers: generated exports or folders
    tables        and tables of one's own, read once
    ranges        which part of a body a request asks for
    kinds         what can go wrong, by name
    script        what goes wrong as it is written down: entries of a TOML file, or Python values
    faults        what goes wrong, and when: by a script, or drawn from a seed
    recording     what clients have asked for
    delivery      rows and files on their way to a client
    editing       bodies with a row that is not as it was
    misbehaving   what a fault sends in place of the right reply
    replying      the reply to a request for data: its part, or its fault
    page          the page for people at `/`
    app           the routes, as an aiohttp application
    connection    replies to requests that cannot be read
    tls           keys made for the run, or the user's
    run           `MockServer` for tests, `serve` for the command line
    __main__      the server as a child process (sources/embedded.py starts it)
    fhir/         the same exports as FHIR Bulk Data

From top to bottom, a module imports only those above it. Up to `catalogue` and `ranges` nothing needs aiohttp.
"""
