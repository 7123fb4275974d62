// ModelState: what the state machine should do, written a second time and as simply as possible: every version of every
// key, in memory. The simulator executes each block on it too and compares outcomes, and looks up what a read at some
// revision had to see. Shares no code with kvstore's StateMachine but the types.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kvstore/operation.h"

namespace loyal::sim {

class ModelState {
 public:
    struct Expected {
        kvstore::Status status = kvstore::Status::ok;
        kvstore::Revision revision;
        std::optional<kvstore::RangeResult> range;
    };
    // Executes one operation; changes of revision are the caller's to compare.
    Expected apply(const kvstore::Operation& operation, consensus::Hlc hlc);
    // The answer to `range` in the state of `revision`; the page's byte limit is not modelled (values are small).
    [[nodiscard]] kvstore::RangeResult read(const kvstore::Range& range, kvstore::Revision revision) const;
    [[nodiscard]] kvstore::Revision revision() const { return revision_; }

 private:
    struct Version {
        kvstore::Revision revision;
        std::optional<kvstore::Item> item;  // absent: deleted
    };
    [[nodiscard]] const kvstore::Item* find(const Bytes& key, kvstore::Revision revision) const;
    void write(const Bytes& key, std::optional<Bytes> value, consensus::Hlc hlc);

    std::map<Bytes, std::vector<Version>> keys_;
    kvstore::Revision revision_;
};

}  // namespace loyal::sim
