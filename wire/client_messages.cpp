#include "wire/client_messages.h"

namespace loyal::wire {

const char* name_of(RefusalCode code) {
    switch (code) {
        case RefusalCode::busy: return "busy";
        case RefusalCode::expired: return "expired";
        case RefusalCode::window: return "window";
        case RefusalCode::invalid: return "invalid";
        case RefusalCode::denied: return "denied";
        case RefusalCode::disk_full: return "disk_full";
        case RefusalCode::rate: return "rate";
        case RefusalCode::not_allowed: return "not_allowed";
        case RefusalCode::starting: return "starting";
    }
    return "unknown";
}

}  // namespace loyal::wire
