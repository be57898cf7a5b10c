/* How the site's search orders its results. Sphinx takes the best single word of a query, so that many pages are level. Here
   each word counts: most in the title of a page, less in its other headings, least in its text. Reference pages come later. */
var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,

  score: ([page, , , , score]) => {
    const reference = /^(api\/|benchmarks|changelog|commands|contributing)/.test(page) ? 10 : 0;
    return score + Scorer.words().reduce((sum, word) => sum + Scorer.worth(word, page), 0) - reference;
  },

  /* The stems of the query's words. */
  words: () => {
    const stemmer = new Stemmer();
    const query = new URLSearchParams(window.location.search).get("q") || "";
    const words = splitQuery(query.toLowerCase()).filter((word) => !stopwords.has(word));
    return words.map((word) => stemmer.stemWord(word));
  },

  /* What one word adds to the score of a page. */
  worth: (word, page) => {
    const index = Search._index;
    const file = index.docnames.indexOf(page);
    const stemmer = new Stemmer();
    const title = splitQuery(index.titles[file].toLowerCase()).map((part) => stemmer.stemWord(part));
    const isIn = (terms) => Object.hasOwn(terms, word) && [terms[word]].flat().includes(file);
    if (title.includes(word)) return 10;
    return isIn(index.titleterms) ? 4 : isIn(index.terms) ? 1 : 0;
  },
};
