/*
 * Where the elements of a JSON document stand in its text: what a rejected event is kept as.
 * The text must have been parsed as JSON before; other text gives empty slices, never a fault.
 */
#pragma once

#include "schemas/bytes.h"

/* A walk over the elements of an array, in order. */
struct raw_elements {
    struct str rest; /* behind the last element that was given */
    size_t next;     /* index of the element that comes next */
    struct str key;  /* not empty: rest is an object still, whose member by this key is the array */
};

/* Begins at the text of an array. */
struct raw_elements raw_elements_of(struct str array);

/* The same of an object's member, which is looked for when the first element is asked for: few ask,
 * and it takes a walk over what stands before it and over itself. */
struct raw_elements raw_elements_of_member(struct str object, struct str key);

/* The text of element `index`, at or behind the last one given; empty when there is none. */
struct str raw_element(struct raw_elements *elements, size_t index);

/* The text of an object's member whose key is written plainly as `key`; empty when there is none.
 */
struct str raw_member(struct str object, struct str key);
