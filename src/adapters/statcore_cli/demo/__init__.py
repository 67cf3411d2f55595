"""The parts of `statcore demo`: the programs of its child processes, its pipeline from them to the answers, its view."""
