/* Tells whether what is compiled is of the same version as what calls it; see compiled.py. */

#include <stdint.h>

#ifndef LAYOUT
#define LAYOUT 2 /* of all that is handed over; compiled.py has the same number */
#endif

int64_t streamgauge_layout(void) { return LAYOUT; }
