package promises

// Growth is what the rule makes of samples.
var Growth = growth
