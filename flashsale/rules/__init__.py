"""The rules: pure Python that knows neither the gate, the books, the settings nor the time."""
