// To be imported first: AutobahnJS writes a warning at every lost connection, and takes hold of console.warn when it is loaded.

console.warn = () => {};
