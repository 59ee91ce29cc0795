"use strict";(()=>{function t(e){try{return localStorage.getItem(`busbar.${e}`)??""}catch{return""}}document.documentElement.dataset.theme=t("theme");})();
