#include <algorithm>

#include "replica/faults/behaviours.h"

namespace loyal::replica {
namespace {

struct Entry {
    std::string_view name;
    std::unique_ptr<FaultModel> (*make)(const FaultContext&);
};

constexpr Entry entries[] = {
    {"none", nullptr},
    {"silent", faults::make_silent},
    {"equivocate", faults::make_equivocate},
    {"lie-to-clients", faults::make_lie_to_clients},
};

}  // namespace

std::vector<std::string> fault_names() {
    std::vector<std::string> names;
    for (const Entry& entry : entries) {
        names.emplace_back(entry.name);
    }
    return names;
}

Result<std::unique_ptr<FaultModel>> make_fault(std::string_view name, const FaultContext& context) {
    const auto* found =
        std::find_if(std::begin(entries), std::end(entries), [&](const Entry& e) { return e.name == name; });
    if (found == std::end(entries)) {
        std::string known;
        for (const Entry& entry : entries) {
            known += known.empty() ? "" : ", ";
            known += entry.name;
        }
        return fail(Errc::invalid_argument, "unknown fault \"" + std::string(name) + "\"; known are: " + known);
    }
    return found->make == nullptr ? std::unique_ptr<FaultModel>() : found->make(context);
}

}  // namespace loyal::replica
