// A client whose clock is wrong by SKEW_MS. What it runs is not touched.
const skew = Number(process.env.SKEW_MS || 0);
const Real = Date;
globalThis.Date = class Date extends Real {
  constructor(...parts) {
    super(...(parts.length ? parts : [Real.now() + skew]));
  }
  static now() {
    return Real.now() + skew;
  }
};
