#include "client/lab/scenario.h"

#include <set>

namespace loyal::lab {

const char* name_of(Step::Kind kind) {
    switch (kind) {
        case Step::Kind::fault: return "fault";
        case Step::Kind::net: return "net";
        case Step::Kind::net_heal: return "net-heal";
        case Step::Kind::clock: return "clock";
        case Step::Kind::disk: return "disk";
        case Step::Kind::pause: return "pause";
        case Step::Kind::kill: return "kill";
        case Step::Kind::restart: return "restart";
        case Step::Kind::power_cut: return "power-cut";
        case Step::Kind::lose_disk: return "lose-disk";
        case Step::Kind::save_disk: return "save-disk";
        case Step::Kind::roll_back_disk: return "roll-back-disk";
        case Step::Kind::expect_restart_refused: return "expect-restart-refused";
        case Step::Kind::pause_holder: return "pause-holder";
        case Step::Kind::heal: break;
    }
    return "heal";
}

bool is_injection(const Step& step) {
    switch (step.kind) {
        case Step::Kind::fault: return step.fault.kind != replica::FaultSpec::Kind::none;
        case Step::Kind::clock:
        case Step::Kind::disk: return step.line != "mend";
        case Step::Kind::net_heal:
        case Step::Kind::restart:
        case Step::Kind::save_disk:
        case Step::Kind::heal: return false;
        case Step::Kind::net:
        case Step::Kind::pause:
        case Step::Kind::kill:
        case Step::Kind::power_cut:
        case Step::Kind::lose_disk:
        case Step::Kind::roll_back_disk:
        case Step::Kind::expect_restart_refused:
        case Step::Kind::pause_holder: break;
    }
    return true;
}

const char* name_of(Property property) {
    switch (property) {
        case Property::agreement: return "agreement";
        case Property::linearizable: return "linearizable";
        case Property::durable: return "durable";
        case Property::once: return "once";
        case Property::live: break;
    }
    return "live";
}

std::vector<std::uint16_t> Scenario::traitors() const {
    std::set<std::uint16_t> ids;
    for (const Step& step : steps) {
        if (step.kind == Step::Kind::fault && step.fault.kind == replica::FaultSpec::Kind::byzantine) {
            ids.insert(step.target.ids.begin(), step.target.ids.end());
        }
    }
    return {ids.begin(), ids.end()};
}

std::vector<Scenario> Scenario::runs() const {
    return variants.empty() ? std::vector<Scenario>{*this} : variants;
}

}  // namespace loyal::lab
