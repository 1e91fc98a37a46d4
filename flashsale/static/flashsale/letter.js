/* Opens the letter whose token is the fragment of the address. */
"use strict";

(() => {
  function open() {
    const token = location.hash.slice(1);
    if (token.indexOf("fs1.") !== 0) return;
    // Without the token in the address, the Back button does not open the letter again.
    history.replaceState(null, "", location.pathname);
    const form = document.getElementById("letter");
    form.elements.link.value = token;
    form.submit();
  }

  addEventListener("hashchange", open);
  open();
})();
