"""Who speaks when: what an agent makes of hesitations, interruptions, backchannels, coughs, noise and its own echo.

`phrases` what is said - `corpus` the items, by a seed - `recordings`, `shapes`, `sounds` how they sound - `scenario`
one item in one call - `timeline` what the caller noticed - `judge` what that was - `table` the figures - `subjects`
who is measured.
"""
